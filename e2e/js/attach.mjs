// attach.mjs NAMESPACE POD attaches to a pod with the official JavaScript client.
//
// The script exits when the session ends. Exit codes: 0 after a normal close, 90 after another
// close, 91 if the server refused the session.
import { Attach, KubeConfig } from '@kubernetes/client-node';

const [namespace, pod] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

const normal = 1000; // RFC 6455, section 7.4.1
try {
  const session = await new Attach(config).attach(namespace, pod, '', process.stdout, process.stderr, process.stdin, false);
  // Exit only after the output has been written.
  session.on('close', (code) => process.stdout.write('', () => process.exit(code === normal ? 0 : 90)));
} catch (refusal) {
  console.error('refused:', refusal.message);
  process.exit(91);
}
