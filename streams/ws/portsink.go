package ws

import (
	"encoding/base64"
	"encoding/binary"

	"edge/streams"
)

// PortSink tells a client of port-forward what its connections say, why one
// failed, and the Close. Every message leaves in a write of its own.
type PortSink struct {
	w       streams.Writer
	batch   streams.Batch // small data of one channel, to be one message
	channel byte          // of what batch holds
	ports   []uint16
	base64  bool
	closed  bool // a Close was sent: nothing may follow it
}

// NewPortSink writes a server's frames to w, beginning after the handshake.
func NewPortSink(w streams.Writer, ports []uint16, base64 bool) *PortSink {
	return &PortSink{w: w, batch: streams.Batch{W: w}, ports: ports, base64: base64}
}

// Start tells the client the port of each channel. Call it once, before
// anything else.
func (s *PortSink) Start() error {
	for n, port := range s.ports {
		for channel := range 2 {
			if err := s.start(byte(2*n+channel), port); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *PortSink) start(channel byte, port uint16) error {
	number := binary.LittleEndian.AppendUint16(nil, port)
	if s.base64 {
		return s.encode(channel, number)
	}
	return writeChannel(s.w, channel, number, 0)
}

// Write implements streams.Sink. What a server cannot say on WebSocket, and all
// that comes after a Close, is dropped.
func (s *PortSink) Write(f streams.Frame) error {
	if s.closed {
		return nil
	}
	if f.Kind == streams.Data {
		return s.data(f)
	}
	if err := s.Flush(); err != nil || f.Kind != streams.Close {
		return err
	}
	s.closed = true
	return s.w.WriteRoom(AppendClose(nil, int(f.Code), ""), 0)
}

func (s *PortSink) data(f streams.Frame) error {
	n, isErr, ok := streams.PortOf(f.Stream.ID)
	b := f.Payload()
	if f.Stream.Role != streams.Port || !ok || n >= len(s.ports) || len(b) == 0 {
		return nil
	}
	channel := byte(2 * n)
	if isErr {
		channel++
	}
	if s.base64 {
		return s.encode(channel, b)
	}
	if channel != s.channel || len(b) >= streams.Small || s.batch.Len()+len(b) > streams.MaxData {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	if len(b) >= streams.Small {
		return writeChannel(s.w, channel, f.Buf, f.Off)
	}
	s.channel = channel
	to, err := s.batch.Grow(len(b))
	copy(to, b)
	return err
}

// Flush implements streams.Sink.
func (s *PortSink) Flush() error { return s.flush(opBinary, s.channel) }

// flush makes a message of what batch holds.
func (s *PortSink) flush(op, channel byte) error {
	n := s.batch.Len()
	if n == 0 {
		return nil
	}
	head := headerSize(1 + n)
	b := s.batch.Head(head + 1)
	putHeader(b[:head], op, 1+n)
	b[head] = channel
	return s.batch.Flush(head + 1)
}

// encode writes b in messages of at most streams.MaxData bytes of base64. They
// are not merged: base64 ends with its message.
func (s *PortSink) encode(channel byte, b []byte) error {
	const most = streams.MaxData / 4 * 3
	for len(b) > 0 {
		n := min(len(b), most)
		to, err := s.batch.Grow(base64.StdEncoding.EncodedLen(n))
		if err != nil {
			return err
		}
		base64.StdEncoding.Encode(to, b[:n])
		if err := s.flush(opText, '0'+channel); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// writeChannel writes b[off:] at once, as a binary message on a channel.
func writeChannel(w streams.Writer, channel byte, b []byte, off int) error {
	if off == 0 {
		b = append(make([]byte, streams.Headroom, streams.Headroom+len(b)), b...)
		off = streams.Headroom
	}
	off--
	b[off] = channel
	return writeMessage(w, b, off)
}
