// Drives a real Chromium: `node browser.mjs PORT` opens pages on request by HTTP, until the process
// is stopped.
//
//  POST / {"page": URL, "verb": a function of page.js, "args": its argument,
//          "certificate": {"origin": URL, "cert": PEM, "key": PEM}, may be missing}
//  200    {"seen": the function's result, "said": [lines of the console, failed requests]}
//
// Each visit has a new, empty profile. CHROMIUM is the path of the browser. NODE_PATH contains
// playwright-core.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const { chromium } = createRequire(import.meta.url)('playwright-core'); // import does not search NODE_PATH
const script = fileURLToPath(new URL('page.js', import.meta.url));

// Chromium aborts connections that it is opening when a network interface appears or disappears,
// and each new pod of any test adds one. Over HTTP/2 it would also abort open WebSockets, without
// an error message. So HTTP/2 is off here.
const interrupted = 'ERR_NETWORK_CHANGED';
const mostInterruptions = 100; // repeated visits; on a busy machine a visit takes long and many pods start meanwhile
const patience = 180_000; // timeout in ms for the browser's own operations

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  timeout: patience,
  // Nothing may leave the machine: no name resolves and no proxy is used. QUIC would try UDP first.
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-http2', '--disable-quic', '--no-proxy-server',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
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

async function persist(job) {
  for (let interruptions = 0; ; interruptions++) {
    const outcome = await visit(job).catch((error) => ({ error }));
    const said = outcome.error?.message ?? outcome.said.join('\n');
    if (said.includes(interrupted) && interruptions < mostInterruptions) continue;
    if (outcome.error) throw outcome.error;
    return outcome;
  }
}

createServer(async (request, response) => {
  try {
    response.end(JSON.stringify(await persist(await json(request))));
  } catch (error) {
    response.writeHead(500).end(error.stack);
  }
}).listen(process.argv[2], '127.0.0.1');
