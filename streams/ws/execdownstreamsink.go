package ws

import "edge/streams"

// ExecDownstreamSink writes the frames that the server of an exec or attach sends to the client:
// output, the Status and the Close. Each message is written in one write of its own.
type ExecDownstreamSink struct {
	channelSink
}

// channelOf is the channel for each role (stream) that a server writes.
var channelOf = [...]byte{
	streams.Stdout: channelStdout,
	streams.Stderr: channelStderr,
	streams.Error:  channelError,
}

// NewExecDownstreamSink returns a sink that writes a server's frames to w, after the WebSocket
// handshake.
func NewExecDownstreamSink(w streams.Writer, d Dialect) *ExecDownstreamSink {
	s := &ExecDownstreamSink{}
	s.init(w, server, d)
	return s
}

// Start sends the start signal to the client: a message without payload on the channel of role r,
// the first of stdout, stderr and error that the session has. The caller calls Start once, before
// any Write.
func (s *ExecDownstreamSink) Start(r streams.Role) error {
	var b [streams.Headroom]byte
	return s.message(channelOf[r], b[:], streams.Headroom)
}

// Write implements streams.Sink. It drops frames that a WebSocket server cannot express, and all
// frames after a Close frame. It writes a Status unchanged, except an empty Status, for which it
// writes nothing: in v1 that means success.
func (s *ExecDownstreamSink) Write(f streams.Frame) error {
	if s.closed {
		return nil
	}
	if f.Kind == streams.Data {
		role := f.Stream.Role
		if role != streams.Stdout && role != streams.Stderr {
			return nil
		}
		return s.data(channelOf[role], f)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	switch f.Kind {
	case streams.Status:
		if len(f.Payload()) == 0 {
			return nil
		}
		return s.message(channelError, f.Buf, f.Off)
	case streams.Close:
		return s.close(f.Code)
	}
	return nil
}
