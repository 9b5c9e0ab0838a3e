// get.mjs NAMESPACE POD reads a pod with the official JavaScript client and prints the name in the
// response.
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';

const [namespace, name] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

const pod = await config.makeApiClient(CoreV1Api).readNamespacedPod({ namespace, name });
console.log(pod.metadata.name);
