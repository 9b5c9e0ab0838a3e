package ws

import "edge/streams"

// ExecClientSource reads what the server of an exec or attach sends: output, the
// Status and the Close. See the package doc for what it ignores.
type ExecClientSource struct {
	channelSource
}

// serverSays is what a server may write.
var serverSays = [channelCount]meaning{
	channelStdout: {kind: streams.Data, role: streams.Stdout},
	channelStderr: {kind: streams.Data, role: streams.Stderr},
	channelError: {
		kind: streams.Status, role: streams.Error, most: streams.MaxStatus,
		long: streams.Violation(streams.CloseTooBig, "status of more than %d bytes", streams.MaxStatus),
	},
}

// NewExecClientSource reads a server's frames from r, beginning after the
// handshake. Answers to pings go to rep. Who made r closes it.
func NewExecClientSource(r *streams.Reader, rep streams.Replier, d Dialect) *ExecClientSource {
	return &ExecClientSource{channelSource{
		r: r, rep: rep, text: dialects[d].text,
		channels: serverSays, in: frameParser{side: client},
	}}
}

// Next implements streams.Source, with the errors of ExecServerSource. It gives
// one Status at most.
func (s *ExecClientSource) Next() (streams.Frame, error) {
	for {
		f, err := s.next()
		if err != nil || f.Kind != streams.Status {
			return f, err
		}
		if len(f.Payload()) > 0 { // else the start signal
			s.channels[channelError] = meaning{}
			return f, nil
		}
	}
}
