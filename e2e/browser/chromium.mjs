// Starts Chromium for browser.mjs with the npm package playwright-core.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';

const { chromium } = createRequire(import.meta.url)('playwright-core'); // import does not search NODE_PATH

export async function launch(executablePath, socks, timeout) {
  // Chromium cannot connect to a SOCKS server on a Unix socket. So it connects to this port.
  const relay = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: socks, allowHalfOpen: true });
    pipeline(near, far, near, () => {});
  }).listen(0, '127.0.0.1');
  await once(relay, 'listening');

  return chromium.launch({
    executablePath,
    timeout,
    proxy: { server: `socks5://127.0.0.1:${relay.address().port}` },
    args: ['--no-sandbox', '--disable-gpu'],
  });
}

// newContext makes a new profile. With a certificate, it presents the certificate to a server that
// requests one. For these profiles, playwright runs a proxy with its own certificate between
// Chromium and the server.
export const newContext = (browser, certificate) => browser.newContext(certificate && {
  ignoreHTTPSErrors: true,
  clientCertificates: [{ origin: certificate.origin, cert: Buffer.from(certificate.cert), key: Buffer.from(certificate.key) }],
});

export async function newPage(context, script) {
  const page = await context.newPage();
  await page.addInitScript({ path: script });
  return page;
}
