"""portforward.py NAMESPACE POD PORT BYTES forwards a port with the official Python client.

The script sends BYTES bytes to PORT, which echoes them, in two concurrent sessions, and prints for
each whether the same bytes came back. Then it forwards port 9999, on which no process listens, and
prints "refused" if the client reports that.
"""
import hashlib
import os
import sys
import threading

from kubernetes import client, config
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward

namespace, pod, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
config.load_kube_config()


def forward(port):
    # This client modifies the API object while it connects, so each session needs its own object.
    api = client.CoreV1Api(client.ApiClient())
    try:
        return portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
    except ApiException as e:
        print("refused the session:", e.reason)
        os._exit(91)


def echo():
    end = forward(port).socket(port)
    end.settimeout(180)
    sent = os.urandom(size)
    threading.Thread(target=end.sendall, args=(sent,), daemon=True).start()
    back = b""
    while len(back) < size:
        piece = end.recv(1 << 16)
        if not piece:
            break
        back += piece
    end.close()
    return "echo" if hashlib.sha256(sent).digest() == hashlib.sha256(back).digest() else "%d bytes, not the echo" % len(back)


results = [None, None]


def run(i):
    results[i] = echo()


threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*results, sep="\n")

refused = forward(9999)
end = refused.socket(9999)
end.settimeout(180)
end.recv(1)
print("refused" if "connection refused" in (refused.error(9999) or "") else refused.error(9999))
