package ws

import "edge/streams"

// ExecClientSink tells the server of an exec or attach what the user says: stdin
// and its end, terminal sizes, the Close. Every message leaves in a write of its
// own, masked: the payload of a large frame is overwritten. In a binary dialect it
// takes frames with a Mask.
type ExecClientSink struct {
	channelSink
	halfClose bool // the end of stdin can be said, once
}

// NewExecClientSink writes a client's frames to w, beginning after the handshake.
func NewExecClientSink(w streams.Writer, d Dialect) *ExecClientSink {
	s := &ExecClientSink{halfClose: dialects[d].halfClose}
	s.init(w, client, d)
	return s
}

// Write implements streams.Sink. What a client cannot say on WebSocket, and all
// that comes after a Close, is dropped.
func (s *ExecClientSink) Write(f streams.Frame) error {
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
