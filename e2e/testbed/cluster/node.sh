#!/bin/sh
# The first process of a node: it runs in a PID and a mount namespace of its own, so when it ends, all ends.
#
#	node.sh DIR CTR CONTAINERD KUBELET [KUBELET-ARGUMENT...]
set -e
dir=$1 ctr=$2 containerd=$3
shift 3

# Programs of a node write to places that cannot be configured. Give them places of their own.
for place in /run /var/lib /var/log; do
	mkdir -p "$dir/private$place"
	mount --bind "$dir/private$place" "$place"
done

"$containerd" --config "$dir/containerd.toml" >>"$dir/containerd.log" 2>&1 &

tries=600
until "$ctr" --address "$dir/containerd.sock" version >/dev/null 2>&1; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || exit 1
	sleep 0.1
done
"$ctr" --address "$dir/containerd.sock" --namespace k8s.io image import --local --snapshotter native "$dir/images.tar"

# The kubelet gives up when it cannot reach the API server at once, and takes long between its tries to register.
while [ ! -e "$dir/apiserver-is-ready" ]; do
	sleep 0.05
done
"$@" >>"$dir/kubelet.log" 2>&1
