// watch with the official JavaScript client: watch.mjs NAMESPACE prints a line for each event of a ConfigMap.
import { KubeConfig, Watch } from '@kubernetes/client-node';

const [namespace] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

function event(type, object) {
  console.log(type, object.metadata.name);
}

function ended(error) {
  console.error('watch ended:', error);
  process.exit(1);
}

await new Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`, {}, event, ended);
