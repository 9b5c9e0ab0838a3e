// get with the official JavaScript client: get.mjs NAMESPACE POD prints the pod's name as the server knows it.
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';

const [namespace, name] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

const pod = await config.makeApiClient(CoreV1Api).readNamespacedPod({ namespace, name });
console.log(pod.metadata.name);
