// One visit of a real Chromium to one page. Standard input is a job, standard output what came of it, both JSON.
//
//   {"page": URL, "verb": a function of page.js, "args": its argument}
//   {"seen": what the function returned, "said": [lines of the browser's console]}
//
// CHROMIUM is the browser's program. NODE_PATH has playwright-core.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const { chromium } = createRequire(import.meta.url)('playwright-core'); // import itself does not look at NODE_PATH
const job = JSON.parse(readFileSync(0, 'utf8'));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Nothing leaves the machine: no name resolves, no proxy comes between. QUIC would try UDP first.
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
});
try {
  const page = await browser.newPage();
  const said = [];
  page.on('console', (message) => said.push(message.text()));
  await page.addInitScript({ path: fileURLToPath(new URL('page.js', import.meta.url)) });
  await page.goto(job.page);
  const seen = await page.evaluate(([verb, args]) => verbs[verb](args), [job.verb, job.args]);
  process.stdout.write(JSON.stringify({ seen, said }));
} finally {
  await browser.close();
}
