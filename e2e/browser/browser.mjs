// Drives a real Chromium: `node browser.mjs JOBS SOCKS` opens pages on request by HTTP on the Unix
// socket JOBS, until the process is stopped. SOCKS is the Unix socket of a SOCKS5 server, through
// which Chromium makes all its connections.
//
//  POST / {"page": URL, "verb": a function of page.js, "args": its argument,
//          "certificate": {"origin": URL, "cert": PEM, "key": PEM}, may be missing}
//  200    {"seen": the function's result, "said": [lines of the console, failed requests]}
//
// Each visit has a new, empty profile. CHROMIUM is the path of the browser. NODE_PATH contains
// playwright-core.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { connect, createServer as createTCPServer } from 'node:net';
import { pipeline } from 'node:stream';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const { chromium } = createRequire(import.meta.url)('playwright-core'); // import does not search NODE_PATH
const script = fileURLToPath(new URL('page.js', import.meta.url));

const patience = 180_000; // timeout in ms for the browser's own operations

const [jobs, socks] = process.argv.slice(2);

// Chromium cannot connect to a SOCKS server on a Unix socket. So it connects to this port.
const relay = createTCPServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ path: socks, allowHalfOpen: true });
  pipeline(near, far, near, () => {});
}).listen(0, '127.0.0.1');
await once(relay, 'listening');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  timeout: patience,
  proxy: { server: `socks5://127.0.0.1:${relay.address().port}` },
  args: ['--no-sandbox', '--disable-gpu'],
});
browser.on('disconnected', () => process.exit()); // on SIGTERM, playwright first closes the browser

// withCertificate returns the options of a profile that presents a client certificate to a server
// that requests one. For these profiles, playwright runs a proxy with its own certificate between
// Chromium and the server.
const withCertificate = ({ origin, cert, key }) => ({
  ignoreHTTPSErrors: true, clientCertificates: [{ origin, cert: Buffer.from(cert), key: Buffer.from(key) }],
});

async function visit({ page: url, verb, args, certificate }) {
  const context = await browser.newContext(certificate && withCertificate(certificate));
  try {
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    const said = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('requestfailed', (request) => said.push(`${request.failure()?.errorText}: ${request.url()}`)); // the console does not show failures in an iframe
    await page.addInitScript({ path: script });
    await page.goto(url);
    const seen = await page.evaluate(([verb, args]) => verbs[verb](args), [verb, args]);
    return { seen, said };
  } finally {
    await context.close();
  }
}

createServer(async (request, response) => {
  try {
    response.end(JSON.stringify(await visit(await json(request))));
  } catch (error) {
    response.writeHead(500).end(error.stack);
  }
}).listen(jobs);
