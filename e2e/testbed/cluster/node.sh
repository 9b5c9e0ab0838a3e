#!/bin/sh
# node.sh is the first process of a node, in its own PID, mount and network namespace. When it ends,
# the kernel kills the whole node.
#
#	node.sh KUBELET [KUBELET-ARGUMENT...]
set -e
dir={{.Dir}} ctr={{.Bin.Ctr}} ip={{.Bin.IP}}

# The node's programs write to paths that cannot be configured. Mount private folders over these
# paths.
for place in /run /var/lib /var/log; do
	mkdir -p "$dir/private$place"
	mount --bind "$dir/private$place" "$place"
done

# Until the other end of the cable exists, the node has no eth0.
tries=600
until "$ip" link set eth0 up 2>/dev/null; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || exit 1
	sleep 0.1
done
"$ip" link set lo up
"$ip" address add {{.Network.Node}}/30 dev eth0
"$ip" route add {{.Address}} via {{.Network.Outside}}

"{{.Bin.Containerd}}" --config "$dir/containerd.toml" >>"$dir/containerd.log" 2>&1 &

tries=600
until "$ctr" --address "$dir/containerd.sock" version >/dev/null 2>&1; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || exit 1
	sleep 0.1
done
"$ctr" --address "$dir/containerd.sock" --namespace k8s.io image import --local --snapshotter native "$dir/images.tar"

# Wait for the API server: the kubelet exits if it cannot reach it at once, and waits long between
# its attempts to register.
while [ ! -e "$dir/apiserver-is-ready" ]; do
	sleep 0.05
done
"$@" >>"$dir/kubelet.log" 2>&1
