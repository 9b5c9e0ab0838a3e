package ws

import "edge/streams"

// ExecServerSink tells a client of exec or attach what the process says: output,
// the Status, the Close. Every message leaves in a write of its own.
type ExecServerSink struct {
	channelSink
}

// channelOf is the channel of each role that a server writes.
var channelOf = [...]byte{
	streams.Stdout: channelStdout,
	streams.Stderr: channelStderr,
	streams.Error:  channelError,
}

// NewExecServerSink writes a server's frames to w, beginning after the handshake.
func NewExecServerSink(w streams.Writer, d Dialect) *ExecServerSink {
	s := &ExecServerSink{}
	s.init(w, server, d)
	return s
}

// Start tells the client that the session runs: a message without payload on
// the first of stdout, stderr and error that the session has. Call it once,
// before anything else.
func (s *ExecServerSink) Start(r streams.Role) error {
	var b [streams.Headroom]byte
	return s.message(channelOf[r], b[:], streams.Headroom)
}

// Write implements streams.Sink. What a server cannot say on WebSocket, and all
// that comes after a Close, is dropped. A Status is written as it is, and not at
// all if it is empty, which v1 says for success.
func (s *ExecServerSink) Write(f streams.Frame) error {
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
