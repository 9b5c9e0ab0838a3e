package ws

import "k8s.io/apimachinery/pkg/util/remotecommand"

// Subprotocols of RFC 6455 section 1.9 that this package speaks.
const (
	V1                = remotecommand.StreamProtocolV1Name
	V1Base64          = "base64.channel.k8s.io"
	V4                = remotecommand.StreamProtocolV4Name
	V4Base64          = "v4.base64.channel.k8s.io"
	V5                = remotecommand.StreamProtocolV5Name
	TunnelPortForward = "SPDY/3.1+portforward.k8s.io"
)

// Dialect is a channel protocol of exec and attach.
type Dialect int

const (
	V1Channel Dialect = iota // also what a handshake without a subprotocol means
	V1Base64Channel
	V4Channel
	V4Base64Channel
	V5Channel
)

// dialects says how the channel protocols differ for a codec. That the error
// channel has text in v1, and a Status in JSON from v4 on, is no difference here.
var dialects = [...]struct {
	subprotocol string
	text        bool // base64 after a digit for the channel, in text messages
	halfClose   bool // [255, channel] ends a channel
}{
	V1Channel:       {subprotocol: V1},
	V1Base64Channel: {subprotocol: V1Base64, text: true},
	V4Channel:       {subprotocol: V4},
	V4Base64Channel: {subprotocol: V4Base64, text: true},
	V5Channel:       {subprotocol: V5, halfClose: true},
}

// String is the dialect's subprotocol.
func (d Dialect) String() string { return dialects[d].subprotocol }

// The channel byte, the first of every message of exec and attach.
const (
	channelStdin  = remotecommand.StreamStdIn
	channelStdout = remotecommand.StreamStdOut
	channelStderr = remotecommand.StreamStdErr
	channelError  = remotecommand.StreamErr
	channelResize = remotecommand.StreamResize
	channelClose  = remotecommand.StreamClose // [255, channel], from v5 on

	channelCount = 5
)
