// port-forward with the official JavaScript client: portforward.mjs NAMESPACE POD PORT
//
// Listens on a free port, names it in its first line, and gives each connection a session of its own: that is all this
// client can. Further lines have what came on error channels.
import { createServer } from 'node:net';
import { Writable } from 'node:stream';
import { KubeConfig, PortForward } from '@kubernetes/client-node';

const [namespace, pod, port] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();
const forward = new PortForward(config);

const errors = new Writable({
  write(text, encoding, done) {
    if (text.length > 0) console.log('error channel:', text.toString()); // the port is cut off before, and leaves nothing
    done();
  },
});

const server = createServer(async (connection) => {
  connection.on('error', (e) => console.error('local connection:', e.message));
  try {
    await forward.portForward(namespace, pod, [Number(port)], connection, errors, connection);
  } catch (refusal) {
    console.error('refused:', refusal.message);
    connection.destroy();
  }
});
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
