package ws

import "edge/streams"

// ExecUpstreamSink writes the frames that the client of an exec or attach sends to the server: stdin
// and its end, terminal sizes, and the Close. Each message is masked, and is written in one write
// of its own. Masking overwrites the payload of a large frame. In a binary dialect ExecUpstreamSink
// accepts frames with a Mask.
type ExecUpstreamSink struct {
	channelSink
	halfClose bool // true: the dialect can express the end of stdin, and the sink has not sent it yet
}

// NewExecUpstreamSink returns a sink that writes a client's frames to w, after the WebSocket
// handshake.
func NewExecUpstreamSink(w streams.Writer, d Dialect) *ExecUpstreamSink {
	s := &ExecUpstreamSink{halfClose: dialects[d].halfClose}
	s.init(w, client, d)
	return s
}

// Write implements streams.Sink. It drops frames that a WebSocket client cannot express, and all
// frames after a Close frame.
func (s *ExecUpstreamSink) Write(f streams.Frame) error {
	if s.closed {
		return nil
	}
	role := f.Stream.Role
	if f.Kind == streams.Data {
		if role != streams.Stdin {
			return nil
		}
		return s.data(channelStdin, f)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	ends := f.Kind == streams.HalfClose || f.Kind == streams.Reset
	switch {
	case f.Kind == streams.Resize:
		return s.message(channelResize, f.Buf, f.Off)
	case ends && role == streams.Stdin && s.halfClose:
		s.halfClose = false
		b := [streams.Headroom + 1]byte{streams.Headroom: channelStdin}
		return s.message(channelClose, b[:], streams.Headroom)
	case f.Kind == streams.Close:
		return s.close(f.Code)
	}
	return nil
}
