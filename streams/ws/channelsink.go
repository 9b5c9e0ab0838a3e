package ws

import "edge/streams"

// channelSink writes messages of the WebSocket channels of exec and port-forward. The sinks of
// server and client embed it.
type channelSink struct {
	out     messageWriter
	batch   streams.Batch // small data of one channel, collected to be written as one message
	channel byte          // channel of the data in the field batch
	most    int           // maximum number of data bytes in one message
	closed  bool          // true: a Close was written, and the sink writes nothing more
}

func (s *channelSink) init(w streams.Writer, side side, d Dialect) {
	s.out = messageWriter{w: w, side: side, text: dialects[d].text}
	s.batch.W = &s.out
	s.most = streams.MaxData
	if s.out.text {
		s.most = maxText
	}
}

// data writes the payload of f to a channel. It collects small payloads in the batch, and writes
// large payloads at once.
func (s *channelSink) data(channel byte, f streams.Frame) error {
	b := f.Payload()
	if len(b) == 0 {
		return nil
	}
	if channel != s.channel || len(b) >= streams.Small || s.batch.Len()+len(b) > s.most {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if len(b) < streams.Small {
		s.channel = channel
		to, err := s.batch.Grow(len(b))
		copy(to, b)
		return err
	}
	// Each header after the first overwrites the end of the previous piece, which has already been
	// written.
	for off := f.Off; off < len(f.Buf); {
		end := min(off+s.most, len(f.Buf))
		if err := s.piece(channel, f.Buf[:end], off, keyAfter(f.Mask, off-f.Off)); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// Flush implements streams.Sink.
func (s *channelSink) Flush() error {
	if s.batch.Len() == 0 {
		return nil
	}
	s.batch.Head(1)[0] = s.channel
	return s.batch.Flush(1)
}

// message writes the payload b[off:] to a channel at once, as one message.
func (s *channelSink) message(channel byte, b []byte, off int) error {
	return s.piece(channel, b, off, 0)
}

// piece writes a message as the method message does, but its payload may still be masked with a
// client's key. The parameter under is that key; 0: the payload is not masked.
func (s *channelSink) piece(channel byte, b []byte, off int, under uint32) error {
	if off == 0 {
		b = append(make([]byte, streams.Headroom, streams.Headroom+len(b)), b...)
		off = streams.Headroom
	}
	off--
	b[off] = channel
	if under != 0 {
		return s.out.writeMasked(b, off, under)
	}
	return s.out.WriteRoom(b, off)
}

func (s *channelSink) close(code uint32) error {
	s.closed = true
	return s.out.w.WriteRoom(s.out.side.appendClose(nil, int(code), ""), 0)
}
