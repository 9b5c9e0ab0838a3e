package ws

import (
	"encoding/binary"

	"edge/streams"
)

// PortSink tells a client of port-forward what its connections say, why one
// failed, and the Close. Every message leaves in a write of its own.
type PortSink struct {
	channelSink
	ports []uint16
}

// NewPortSink writes a server's frames to w, beginning after the handshake, for
// connections to those ports. It keeps them.
func NewPortSink(w streams.Writer, ports []uint16, d Dialect) *PortSink {
	s := &PortSink{ports: ports}
	s.init(w, server, d)
	return s
}

// Start tells the client the port of each channel. Call it once, before
// anything else.
func (s *PortSink) Start() error {
	for n, port := range s.ports {
		for _, kind := range [...]byte{channelPortData, channelPortError} {
			var b [streams.Headroom + 2]byte
			binary.LittleEndian.PutUint16(b[streams.Headroom:], port)
			if err := s.message(byte(2*n)+kind, b[:], streams.Headroom); err != nil {
				return err
			}
		}
	}
	return nil
}

// Write implements streams.Sink. What a server cannot say on WebSocket, and all
// that comes after a Close, is dropped.
func (s *PortSink) Write(f streams.Frame) error {
	if s.closed {
		return nil
	}
	if f.Kind == streams.Data {
		n, isErr, ok := streams.PortOf(f.Stream.ID)
		if f.Stream.Role != streams.Port || !ok || n >= len(s.ports) {
			return nil
		}
		kind := byte(channelPortData)
		if isErr {
			kind = channelPortError
		}
		return s.data(byte(2*n)+kind, f)
	}
	if err := s.Flush(); err != nil || f.Kind != streams.Close {
		return err
	}
	return s.close(f.Code)
}
