// exec.mjs NAMESPACE POD COMMAND... runs a command with the official JavaScript client.
//
// If the script runs in a terminal, the command gets a terminal of the same size. The exit code is
// the command's, 90 if the session ended without one, 91 if the server refused the session.
import { Exec, KubeConfig } from '@kubernetes/client-node';

const [namespace, pod, ...command] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromDefault();

const tty = Boolean(process.stdin.isTTY);
if (tty) process.stdin.setRawMode(true); // the local terminal must not interpret the keys

let code = 90;
function ended(status) {
  const cause = status.details?.causes?.find((c) => c.reason === 'ExitCode');
  if (status.status === 'Success') code = 0;
  else if (cause) code = Number(cause.message);
  else console.error('no exit code:', status.message);
}

try {
  const stderr = tty ? null : process.stderr;
  const session = await new Exec(config)
    .exec(namespace, pod, '', command, process.stdout, stderr, process.stdin, tty, ended);
  // Exit only after the output has been written.
  session.on('close', () => process.stdout.write('', () => process.exit(code)));
} catch (refusal) {
  console.error('refused:', refusal.message);
  process.exit(91);
}
