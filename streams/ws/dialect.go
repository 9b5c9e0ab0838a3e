package ws

import "k8s.io/apimachinery/pkg/util/remotecommand"

// Subprotocols (RFC 6455, section 1.9) that this package supports.
const (
	V1                = remotecommand.StreamProtocolV1Name
	V1Base64          = "base64.channel.k8s.io"
	V4                = remotecommand.StreamProtocolV4Name
	V4Base64          = "v4.base64.channel.k8s.io"
	V5                = remotecommand.StreamProtocolV5Name
	TunnelPortForward = "SPDY/3.1+portforward.k8s.io"
)

// Dialect is one of the WebSocket channel protocols of exec, attach and port-forward.
type Dialect int

const (
	V1Channel Dialect = iota // channel.k8s.io, also if the handshake chose no subprotocol
	V1Base64Channel
	V4Channel
	V4Base64Channel
	V5Channel
)

// dialects describes how the channel protocols differ for a codec. The error channel carries text
// in v1 and a Status in JSON from v4 on, but the codecs treat text and Status alike.
var dialects = [...]struct {
	subprotocol string
	text        bool // true: messages are text: a digit for the channel, then base64
	halfClose   bool // true: the message [255, channel] ends a channel
}{
	V1Channel:       {subprotocol: V1},
	V1Base64Channel: {subprotocol: V1Base64, text: true},
	V4Channel:       {subprotocol: V4},
	V4Base64Channel: {subprotocol: V4Base64, text: true},
	V5Channel:       {subprotocol: V5, halfClose: true},
}

// String returns the dialect's subprotocol.
func (d Dialect) String() string { return dialects[d].subprotocol }

// Channels of exec and attach. The channel is the first byte of every message.
const (
	channelStdin  = remotecommand.StreamStdIn
	channelStdout = remotecommand.StreamStdOut
	channelStderr = remotecommand.StreamStdErr
	channelError  = remotecommand.StreamErr
	channelResize = remotecommand.StreamResize
	channelClose  = remotecommand.StreamClose // the message [255, channel] ends a channel, from v5 on

	channelCount = 5
)
