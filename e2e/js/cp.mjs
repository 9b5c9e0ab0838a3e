// cp.mjs copies files with the official JavaScript client. cp.mjs up NAMESPACE POD LOCAL REMOTE
// copies the content of a local folder to a folder of the pod; cp.mjs down NAMESPACE POD LOCAL
// REMOTE copies the content of the pod's folder back.
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { Cp, Exec, KubeConfig } from '@kubernetes/client-node';

// CopyingExec waits until a copy has ended, which no release of the client does. It also unzips the
// archive that release 1.4 makes the pod zip; release 2.0 makes the pod zip nothing.
class CopyingExec extends Exec {
  async exec(namespace, pod, container, command, stdout, stderr, stdin, tty) {
    const archive = stdout && (command.includes('zcf') ? createGunzip() : new PassThrough());
    const unpacked = stdout && pipeline(archive, stdout);
    const ended = new Promise((resolve, reject) => {
      super.exec(namespace, pod, container, command, archive, stderr, stdin, tty, resolve)
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
