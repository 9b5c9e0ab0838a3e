// cp.mjs copies files with the official JavaScript client. cp.mjs up NAMESPACE POD LOCAL REMOTE
// copies the content of a local folder to a folder of the pod; cp.mjs down NAMESPACE POD LOCAL
// REMOTE copies the content of the pod's folder back.
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Cp, Exec, KubeConfig } from '@kubernetes/client-node';

// Release 1.4.0 of the client does not wait until a copy has ended, and does not unzip the archive
// that it makes the pod zip. CopyingExec does both.
class CopyingExec extends Exec {
  async exec(namespace, pod, container, command, stdout, stderr, stdin, tty) {
    const zipped = stdout && createGunzip();
    const unpacked = stdout && pipeline(zipped, stdout);
    const ended = new Promise((resolve, reject) => {
      super.exec(namespace, pod, container, command, zipped, stderr, stdin, tty, resolve)
        .then((session) => session.on('close', () => reject(new Error('the session ended without a Status'))), reject);
    });
    this.copied = ended.then(async (status) => {
      if (status.status !== 'Success') throw new Error(`${status.message}: ${stderr.getContentsAsString()}`);
      await unpacked;
    });
  }
}

const [direction, namespace, pod, local, remote] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();
const exec = new CopyingExec(config);
const cp = new Cp(config, exec);
if (direction === 'up') await cp.cpToPod(namespace, pod, '', local, remote);
else await cp.cpFromPod(namespace, pod, '', '.', local, remote);
await exec.copied;
