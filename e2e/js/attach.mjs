// attach with the official JavaScript client: attach.mjs NAMESPACE POD
//
// Ends when the session does, with 90 if it was not closed normally, 91 if the server refused it.
import { Attach, KubeConfig } from '@kubernetes/client-node';

const [namespace, pod] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

const normal = 1000; // RFC 6455, section 7.4.1
try {
  const session = await new Attach(config).attach(namespace, pod, '', process.stdout, process.stderr, process.stdin, false);
  // What was printed has to leave first.
  session.on('close', (code) => process.stdout.write('', () => process.exit(code === normal ? 0 : 90)));
} catch (refusal) {
  console.error('refused:', refusal.message);
  process.exit(91);
}
