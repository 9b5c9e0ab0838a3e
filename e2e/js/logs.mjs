// logs.mjs NAMESPACE POD follows a log with the official JavaScript client. It prints the last line
// and all new lines.
import { KubeConfig, Log } from '@kubernetes/client-node';

const [namespace, pod] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

await new Log(config).log(namespace, pod, '', process.stdout, { follow: true, tailLines: 1 });
