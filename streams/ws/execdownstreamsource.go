package ws

import (
	"encoding/json"

	"edge/streams"
)

// ExecDownstreamSource reads what the client of an exec or attach sends: stdin, terminal sizes,
// half-closes and the Close. It ignores some messages, which the package doc lists.
type ExecDownstreamSource struct {
	channelSource
}

// clientSays is the meaning of a client's message on each channel of exec.
var clientSays = [channelCount]meaning{
	channelStdin: {kind: streams.Data, role: streams.Stdin},
	channelResize: {
		kind: streams.Resize, role: streams.Terminal, most: streams.MaxResize,
		long: streams.Violation(streams.CloseTooBig, "terminal size of more than %d bytes", streams.MaxResize),
	},
}

// NewExecDownstreamSource returns a source that reads a client's frames from r, after the WebSocket
// handshake. The source sends answers to pings to rep. The caller closes r.
func NewExecDownstreamSource(r *streams.Reader, rep streams.Replier, d Dialect) *ExecDownstreamSource {
	return &ExecDownstreamSource{channelSource{
		r: r, rep: rep, text: dialects[d].text, halfClose: dialects[d].halfClose,
		channels: clientSays, in: frameParser{side: server},
	}}
}

// KeepMasks makes Next leave large pieces of stdin masked, with the key in Frame.Mask. This is for
// a sink that masks its output, an [ExecUpstreamSink] of a binary dialect: it then changes the mask
// in one pass instead of two. Code between source and sink must not read these payloads. Base64 is
// always unmasked.
func (s *ExecDownstreamSource) KeepMasks() { s.keepMasks = !s.text }

// Next implements streams.Source. It returns io.EOF after a Close. After a *streams.ProtocolError
// it returns that error again. The end of the connection within a fragmented message is
// io.ErrUnexpectedEOF. After an error of the connection, such as a deadline, Next may be called
// again.
func (s *ExecDownstreamSource) Next() (streams.Frame, error) {
	for {
		f, err := s.next()
		if err != nil {
			return f, err
		}
		switch f.Kind {
		case streams.Resize:
			// Drop a size that the API server could not parse: after such a size the API server
			// would ignore every later one.
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

// end ends the channel whose number is b[0], once, and returns its role. The channels that only the
// server writes have role 0 here: a client cannot end them.
func (s *ExecDownstreamSource) end(b []byte) (streams.Role, error) {
	if len(b) == 0 {
		return 0, violation("half-close without a channel")
	}
	if b[0] >= channelCount {
		return 0, violation("half-close of an unknown channel")
	}
	role := s.channels[b[0]].role
	s.channels[b[0]] = meaning{}
	return role, nil
}

// isSize reports whether the API server could parse a terminal size from b.
func isSize(b []byte) bool {
	var size struct{ Width, Height *uint16 }
	return json.Unmarshal(b, &size) == nil && size.Width != nil && size.Height != nil
}
