package ws

import "edge/streams"

// ExecSink tells a client of exec or attach what the process says: output, the
// Status, the Close. Every message leaves in a write of its own.
type ExecSink struct {
	w       streams.Writer
	batch   streams.Batch // small output of one channel, to be one message
	channel byte          // of what batch holds
	closed  bool          // a Close was sent: nothing may follow it
}

// NewExecSink writes a server's frames to w, beginning after the handshake.
func NewExecSink(w streams.Writer, d Dialect) *ExecSink {
	return &ExecSink{w: w, batch: streams.Batch{W: w}}
}

// Start tells the client that the session runs: a message without payload on
// the first of stdout, stderr and error that the session has. Call it once,
// before anything else.
func (s *ExecSink) Start(r streams.Role) error {
	b := [prefixSize + 1]byte{prefixSize: channelOf[r]}
	return writeMessage(s.w, b[:], prefixSize)
}

// Write implements streams.Sink. What a server cannot say on WebSocket, and all
// that comes after a Close, is dropped.
func (s *ExecSink) Write(f streams.Frame) error {
	if s.closed {
		return nil
	}
	if f.Kind == streams.Data {
		return s.data(f)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	switch f.Kind {
	case streams.Status:
		return s.message(channelError, f.Buf, f.Off)
	case streams.Close:
		s.closed = true
		return s.w.WriteRoom(AppendClose(nil, int(f.Code), ""), 0)
	}
	return nil
}

func (s *ExecSink) data(f streams.Frame) error {
	role := f.Stream.Role
	if role != streams.Stdout && role != streams.Stderr {
		return nil
	}
	channel, b := channelOf[role], f.Payload()
	if len(b) == 0 {
		return nil
	}
	if channel != s.channel || len(b) >= streams.Small || s.batch.Len()+len(b) > streams.MaxData {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if len(b) >= streams.Small {
		return s.message(channel, f.Buf, f.Off)
	}
	s.channel = channel
	to, err := s.batch.Grow(len(b))
	copy(to, b)
	return err
}

// Flush implements streams.Sink.
func (s *ExecSink) Flush() error {
	n := s.batch.Len()
	if n == 0 {
		return nil
	}
	head := headerSize(1 + n)
	b := s.batch.Head(head + 1)
	putHeader(b[:head], opBinary, 1+n)
	b[head] = s.channel
	return s.batch.Flush(head + 1)
}

// message writes b[off:] at once, on a channel.
func (s *ExecSink) message(channel byte, b []byte, off int) error {
	if off == 0 {
		b = append(make([]byte, streams.Headroom, streams.Headroom+len(b)), b...)
		off = streams.Headroom
	}
	off--
	b[off] = channel
	return writeMessage(s.w, b, off)
}
