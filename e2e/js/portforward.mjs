// portforward.mjs NAMESPACE POD PORT forwards a port with the official JavaScript client.
//
// The script listens on a free port and prints the address in its first line. It opens a new
// session for each connection, because this client supports only that. Later lines contain what
// arrived on error channels.
import { createServer } from 'node:net';
import { Writable } from 'node:stream';
import { KubeConfig, PortForward } from '@kubernetes/client-node';

const [namespace, pod, port] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();
const forward = new PortForward(config);

const errors = new Writable({
  write(text, encoding, done) {
    if (text.length > 0) console.log('error channel:', text.toString()); // the client removes the port and passes the empty rest on
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
