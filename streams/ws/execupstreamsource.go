package ws

import "edge/streams"

// ExecUpstreamSource reads what the server of an exec or attach sends: output, the Status and the
// Close. It ignores some messages, which the package doc lists.
type ExecUpstreamSource struct {
	channelSource
}

// serverSays is the meaning of a server's message on each channel of exec.
var serverSays = [channelCount]meaning{
	channelStdout: {kind: streams.Data, role: streams.Stdout},
	channelStderr: {kind: streams.Data, role: streams.Stderr},
	channelError: {
		kind: streams.Status, role: streams.Error, most: streams.MaxStatus,
		long: streams.Violation(streams.CloseTooBig, "status of more than %d bytes", streams.MaxStatus),
	},
}

// NewExecUpstreamSource returns a source that reads a server's frames from r, after the WebSocket
// handshake. The source sends answers to pings to rep. The caller closes r.
func NewExecUpstreamSource(r *streams.Reader, rep streams.Replier, d Dialect) *ExecUpstreamSource {
	return &ExecUpstreamSource{channelSource{
		r: r, rep: rep, text: dialects[d].text,
		channels: serverSays, in: frameParser{side: client},
	}}
}

// Next implements streams.Source. It returns the same errors as the Next of ExecDownstreamSource. It
// returns at most one Status.
func (s *ExecUpstreamSource) Next() (streams.Frame, error) {
	for {
		f, err := s.next()
		if err != nil || f.Kind != streams.Status {
			return f, err
		}
		if len(f.Payload()) > 0 { // an empty message on this channel is the start signal
			s.channels[channelError] = meaning{}
			return f, nil
		}
	}
}
