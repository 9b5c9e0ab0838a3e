package cluster

import "strings"

// Kind is the kind of a cluster: New, or Old, which behaves like an older Kubernetes release.
type Kind string

const (
	// New is the current Kubernetes release with its defaults. It supports WebSocket for exec,
	// attach and port-forward.
	New Kind = "new"
	// Old is the current Kubernetes release with features off, so that it handles WebSocket like
	// releases before 1.30. It passes a WebSocket with subprotocol v4 unchanged to the container
	// runtime, refuses subprotocol v5, and does not support port-forward tunnelled in WebSocket.
	Old Kind = "old"
)

// gates returns the feature gates for the flags of the API server and of the kubelet in a cluster
// of this kind.
func (k Kind) gates() (apiserver, kubelet string) {
	if k != Old {
		return "", ""
	}
	const toKubelet = "ExtendWebSocketsToKubelet=false"
	return strings.Join([]string{
		"TranslateStreamCloseWebsocketRequests=false",
		"PortForwardWebsockets=false",
		"AuthorizePodWebsocketUpgradeCreatePermission=false",
		"ConstrainedImpersonation=false",
		toKubelet,
	}, ","), toKubelet
}
