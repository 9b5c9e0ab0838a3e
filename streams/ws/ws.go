package ws

import "edge/streams"

// Subprotocols of RFC 6455 section 1.9 that this package speaks.
const (
	V4                = "v4.channel.k8s.io"
	V5                = "v5.channel.k8s.io"
	TunnelPortForward = "SPDY/3.1+portforward.k8s.io"
)

// Dialect is a channel protocol of exec and attach.
type Dialect int

const (
	V4Channel Dialect = iota
	V5Channel
)

// dialects says how the channel protocols differ.
var dialects = [...]struct {
	subprotocol string
	halfClose   bool // [255, channel] ends a channel
}{
	V4Channel: {subprotocol: V4},
	V5Channel: {subprotocol: V5, halfClose: true},
}

// String is the dialect's subprotocol.
func (d Dialect) String() string { return dialects[d].subprotocol }

// The channel byte, the first of every message of exec and attach.
const (
	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
	channelError  = 3
	channelResize = 4
	channelClose  = 255 // [255, channel], from v5 on

	channelCount = 5
)

// channelOf is the channel of each role that a server writes.
var channelOf = [...]byte{
	streams.Stdout: channelStdout,
	streams.Stderr: channelStderr,
	streams.Error:  channelError,
}
