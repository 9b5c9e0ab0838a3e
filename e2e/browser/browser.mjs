// Drives a real browser: `node browser.mjs KIND JOBS SOCKS` opens pages on request by HTTP on the
// Unix socket JOBS, until the process is stopped. SOCKS is the Unix socket of a SOCKS5 server,
// through which the browser makes all its connections. KIND is chromium or firefox: the module of
// that name starts the browser.
//
//  POST / {"page": URL, "verb": a function of page.js, "args": its argument,
//          "certificate": {"origin": URL, "cert": PEM, "key": PEM}, may be missing}
//  200    {"seen": the function's result, "said": [lines of the console, failed requests]}
//
// The page of each visit shares no data with those of other visits. BROWSER is the path of the
// browser. NODE_PATH contains the npm package that the browser's module needs.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('page.js', import.meta.url));

const patience = 180_000; // timeout in ms for the browser's own operations

const [kind, jobs, socks] = process.argv.slice(2);
const { launch, newContext, newPage } = await import(`./${kind}.mjs`);

const browser = await launch(process.env.BROWSER, socks, patience);
browser.on('disconnected', () => process.exit());

async function visit({ page: url, verb, args, certificate }) {
  const context = await newContext(browser, certificate);
  try {
    const page = await newPage(context, script);
    page.setDefaultTimeout(patience);
    const said = [];
    page.on('console', (message) => said.push(message.text()));
    page.on('requestfailed', (request) => said.push(`${request.failure()?.errorText}: ${request.url()}`)); // the console does not show failures in an iframe
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
