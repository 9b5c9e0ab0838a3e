// A real Chromium that visits pages for who asks over HTTP: `node browser.mjs PORT`, until it is told to end.
//
//   POST / {"page": URL, "verb": a function of page.js, "args": its argument,
//           "certificate": {"origin": URL, "cert": PEM, "key": PEM}, the visitor's; may be missing}
//   200    {"seen": what the function returned, "said": [lines of the browser's console, requests that failed]}
//
// Each visit has a profile of its own, without a past. CHROMIUM is the browser's program. NODE_PATH has playwright-core.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const { chromium } = createRequire(import.meta.url)('playwright-core'); // import itself does not look at NODE_PATH
const script = fileURLToPath(new URL('page.js', import.meta.url));

// Chromium gives up what it is connecting when a network interface comes or goes, and each new pod of any test brings one. Over
// HTTP/2 it would give up WebSockets that are open, too, without a word why: there is none here.
const interrupted = 'ERR_NETWORK_CHANGED';
const mostInterruptions = 100; // on a busy machine, where a visit takes long and pods are many
const patience = 180_000; // ms, for what the browser itself has to do

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  timeout: patience,
  // Nothing leaves the machine: no name resolves, no proxy comes between. QUIC would try UDP first.
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-http2', '--disable-quic', '--no-proxy-server',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
});
browser.on('disconnected', () => process.exit()); // asked to end, playwright ends the browser first

// withCertificate are the options of a profile whose owner shows a certificate to a server that asks. Between Chromium and that
// server stands playwright then, with a certificate of its own.
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
    page.on('requestfailed', (request) => said.push(`${request.failure()?.errorText}: ${request.url()}`)); // a frame's are not on the console
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
