package ws

import (
	"encoding/binary"

	"edge/streams"
)

// PortSink writes the frames that the server of a port-forward sends to the client: the data of its
// connections, the text why a connection failed, and the Close. Each message is written in one
// write of its own.
type PortSink struct {
	channelSink
	ports []uint16
}

// NewPortSink returns a sink that writes a server's frames to w, for connections to the given
// ports, after the WebSocket handshake. The sink keeps the slice ports.
func NewPortSink(w streams.Writer, ports []uint16, d Dialect) *PortSink {
	s := &PortSink{ports: ports}
	s.init(w, server, d)
	return s
}

// Start sends the number of the port on each channel to the client. The caller calls Start once,
// before any Write.
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

// Write implements streams.Sink. It drops frames that a WebSocket server cannot express, and all
// frames after a Close frame.
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
