package cluster

import "edge/e2e/testbed/binaries"

// Kind is the kind of a cluster: New or Old.
type Kind string

const (
	// New is the current Kubernetes release with its defaults. It supports WebSocket for exec,
	// attach and port-forward.
	New Kind = "new"
	// Old is Kubernetes 1.29. It passes a WebSocket with subprotocol v4 unchanged to the container
	// runtime, refuses subprotocol v5, and does not support port-forward tunnelled in WebSocket.
	Old Kind = "old"
)

// release returns the programs of the cluster's Kubernetes release.
func (c *Cluster) release() binaries.Kubernetes {
	if c.Kind == Old {
		return c.run.Bin.Old
	}
	return c.run.Bin.New
}
