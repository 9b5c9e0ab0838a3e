"""exec.py NAMESPACE POD COMMAND... runs a command with the official Python client.

Standard input is sent to the command, unless it is empty. The exit code is the command's, 90 if
the session ended without one, 91 if the server refused the session.
"""
import sys

from kubernetes import client, config
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

namespace, pod, command = sys.argv[1], sys.argv[2], sys.argv[3:]
stdin = sys.stdin.read()

config.load_kube_config()
try:
    session = stream(
        client.CoreV1Api().connect_get_namespaced_pod_exec, pod, namespace, command=command,
        stdin=bool(stdin), stdout=True, stderr=True, tty=False, _preload_content=False)
except ApiException as e:
    sys.exit(print(e, file=sys.stderr) or 91)

for at in range(0, len(stdin), 1 << 15):
    session.write_stdin(stdin[at:at + (1 << 15)])

# Read and print output as soon as it arrives, because a test may wait for the first line.
while session.is_open():
    session.update(timeout=None)
    for read, to in ((session.read_stdout, sys.stdout), (session.read_stderr, sys.stderr)):
        to.write(read(timeout=0))
        to.flush()
try:
    code = session.returncode
except Exception as e:  # no Status, or a Status without an exit code
    print("no exit code:", repr(e), file=sys.stderr)
    code = 90
sys.exit(code)
