// Starts Firefox for browser.mjs with the npm package puppeteer-core, by WebDriver BiDi.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const puppeteer = createRequire(import.meta.url)('puppeteer-core'); // import does not search NODE_PATH

// launch starts Firefox with the profile in the working directory's folder "profile", which already
// contains a certificate store. A Firefox under remote control sends no telemetry, and looks for no
// updates. MOZ_DISABLE_NONLOCAL_CONNECTIONS and the setting that begins with "services" switch off
// what is left, Remote Settings: without the variable, Firefox ignores the setting.
export const launch = (executablePath, socks, timeout) => puppeteer.launch({
  browser: 'firefox',
  executablePath,
  timeout,
  protocolTimeout: timeout,
  userDataDir: resolve('profile'),
  defaultViewport: null,
  env: { ...process.env, MOZ_DISABLE_NONLOCAL_CONNECTIONS: '1' },
  extraPrefsFirefox: {
    'network.proxy.type': 1, // the proxy of the next line
    'network.proxy.socks': 'file://' + resolve(socks),
    'network.proxy.allow_hijacking_localhost': true, // 127.0.0.1 through the proxy, too
    'services.settings.server': 'data:,#remote-settings-dummy/v1',
    'browser.chrome.site_icons': false, // no /favicon.ico
    'dom.ipc.processCount': 1,
    'dom.ipc.processPrelaunch.enabled': false, // no spare process
  },
});

export async function newContext(browser, certificate) {
  if (certificate) throw new Error('only Chromium can present a client certificate');
  return browser.createBrowserContext();
}

// newPage opens a page in the background. Otherwise Firefox waits until it has hidden the page of
// another visit, and fails if that visit ends meanwhile.
export async function newPage(context, script) {
  const page = await context.newPage({ background: true });
  await page.evaluateOnNewDocument(await readFile(script, 'utf8'));
  return page;
}
