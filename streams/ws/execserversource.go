package ws

import (
	"encoding/json"

	"edge/streams"
)

// ExecServerSource reads what a client of exec or attach sends: stdin, terminal
// sizes, half-closes and the Close. See the package doc for what it ignores.
type ExecServerSource struct {
	channelSource
}

// clientSays is what a client may write.
var clientSays = [channelCount]meaning{
	channelStdin: {kind: streams.Data, role: streams.Stdin},
	channelResize: {
		kind: streams.Resize, role: streams.Terminal, most: streams.MaxResize,
		long: streams.Violation(streams.CloseTooBig, "terminal size of more than %d bytes", streams.MaxResize),
	},
}

// NewExecServerSource reads a client's frames from r, beginning after the
// handshake. Answers to pings go to rep. Who made r closes it.
func NewExecServerSource(r *streams.Reader, rep streams.Replier, d Dialect) *ExecServerSource {
	return &ExecServerSource{channelSource{
		r: r, rep: rep, text: dialects[d].text, halfClose: dialects[d].halfClose,
		channels: clientSays, in: frameParser{side: server},
	}}
}

// KeepMasks leaves large pieces of stdin masked, for a sink that masks them
// anyway: an [ExecClientSink] of a binary dialect, which then goes over them once
// and not twice. Nobody between may look at them. Base64 is unmasked all the same.
func (s *ExecServerSource) KeepMasks() { s.keepMasks = !s.text }

// Next implements streams.Source. After a Close it returns io.EOF, after a
// *streams.ProtocolError the same again. An EOF within a fragmented message is
// unexpected. After a connection's error (a deadline, say) it may be called again.
func (s *ExecServerSource) Next() (streams.Frame, error) {
	for {
		f, err := s.next()
		if err != nil {
			return f, err
		}
		switch f.Kind {
		case streams.Resize:
			// One that the API server could not read is dropped; there it would
			// be the last that is heeded.
			if !isSize(f.Payload()) {
				continue
			}
		case streams.HalfClose:
			role, err := s.end(f.Payload())
			if err != nil {
				return streams.Frame{}, s.fail(err)
			}
			if role == 0 {
				continue
			}
			return s.bare(streams.HalfClose, role), nil
		}
		return f, nil
	}
}

// end ends a channel, once, and returns what was on it. A client cannot end the
// server's channels: nothing of it is on them.
func (s *ExecServerSource) end(b []byte) (streams.Role, error) {
	if len(b) == 0 {
		return 0, violation("half-close of no channel")
	}
	if b[0] >= channelCount {
		return 0, violation("half-close of an unknown channel")
	}
	role := s.channels[b[0]].role
	s.channels[b[0]] = meaning{}
	return role, nil
}

// isSize tells whether the API server could read a terminal's size from b.
func isSize(b []byte) bool {
	var size struct{ Width, Height *uint16 }
	return json.Unmarshal(b, &size) == nil && size.Width != nil && size.Height != nil
}
