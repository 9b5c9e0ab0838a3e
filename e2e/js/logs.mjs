// logs --follow with the official JavaScript client: logs.mjs NAMESPACE POD prints the last line and those that follow.
import { KubeConfig, Log } from '@kubernetes/client-node';

const [namespace, pod] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

await new Log(config).log(namespace, pod, '', process.stdout, { follow: true, tailLines: 1 });
