// watch.mjs NAMESPACE watches ConfigMaps with the official JavaScript client and prints one line
// per event.
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
