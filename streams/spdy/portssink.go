package spdy

import (
	"encoding/binary"
	"strconv"

	"edge/streams"
)

// OpenPorts opens both streams of connection n to ports[n], for every n, with the stream IDs of
// streams.PortStreams. It half-closes the error streams, as client-go does for each connection. It
// writes at most streams.MaxData bytes at a time, so it usually needs one write. The caller calls
// OpenPorts once, on a new connection to the server and with a new table.
func OpenPorts(w streams.Writer, table *Table, ports []uint16) error {
	for n := range ports {
		if err := table.addPort(n); err != nil {
			return err
		}
	}
	var blocks blockWriter
	b := make([]byte, streams.Headroom, streams.Headroom+min(len(ports)*maxOpen, streams.MaxData))
	for n, p := range ports {
		if len(b)+maxOpen > cap(b) && len(b) > streams.Headroom {
			if err := w.WriteRoom(b, streams.Headroom); err != nil {
				return err
			}
			b = b[:streams.Headroom]
		}
		b = blocks.appendOpen(b, n, p)
	}
	if len(b) == streams.Headroom {
		return nil
	}
	return w.WriteRoom(b, streams.Headroom)
}

// maxOpen is an upper limit for the size in bytes of the frames that open one connection. They have
// about 200 bytes.
const maxOpen = 512

// appendOpen appends to b the frames that open connection n to port p.
func (w *blockWriter) appendOpen(b []byte, n int, p uint16) []byte {
	data, err := streams.PortStreams(n)
	port, request := strconv.Itoa(int(p)), strconv.Itoa(n)
	b = w.appendSynStream(b, err.ID, "streamtype", "error", "port", port, "requestid", request)
	b = binary.BigEndian.AppendUint32(b, err.ID)
	b = binary.BigEndian.AppendUint32(b, flagFin<<24)
	return w.appendSynStream(b, data.ID, "streamtype", "data", "port", port, "requestid", request)
}

// addPort adds the streams of connection n to the table, and ends the client's direction of the
// error stream.
func (t *Table) addPort(n int) error {
	data, err := streams.PortStreams(n)
	if broken := t.add(err.ID); broken != nil {
		return broken
	}
	t.finish(err.ID, Client)
	return t.add(data.ID)
}

// PortsSink writes one side of a port-forward whose connections have numbers. It drops frames for a
// connection that has ended.
type PortsSink struct {
	relay  *RelaySink
	table  *Table
	peer   Peer        // whose frames the sink writes: Client or Server
	blocks blockWriter // encodes the header blocks for Open
}

// NewPortsSink returns a sink that writes a client's frames to w, after OpenPorts has opened the
// connections. The caller owns w.
func NewPortsSink(w streams.Writer, table *Table) *PortsSink {
	return &PortsSink{relay: NewRelaySink(w), table: table, peer: Client}
}

// Open opens connection n to the port with the same frames as OpenPorts, in a session for which
// OpenPorts was not called. n must increase with each call.
func (s *PortsSink) Open(n int, port uint16) error {
	if err := s.table.addPort(n); err != nil {
		return err
	}
	var some [maxOpen]byte
	open := s.blocks.appendOpen(some[:0], n, port)
	b, err := s.relay.batch.Grow(len(open))
	copy(b, open)
	return err
}

// Write implements streams.Sink. It writes the same frames as RelaySink, except Open, Accept and
// Headers.
func (s *PortsSink) Write(f streams.Frame) error {
	switch f.Kind {
	case streams.Close:
		return s.relay.Write(f)
	case streams.Data:
		if s.table.speaks(f.Stream.ID, s.peer) {
			return s.relay.Write(f)
		}
	case streams.HalfClose:
		if s.table.finish(f.Stream.ID, s.peer) {
			return s.relay.Write(f)
		}
	case streams.Reset:
		if s.table.reset(f.Stream.ID) {
			return s.relay.Write(f)
		}
	}
	return nil
}

// Flush implements streams.Sink.
func (s *PortsSink) Flush() error { return s.relay.Flush() }

// NewPortServerSink returns a sink that writes the server's frames of a port-forward to w, on the
// streams that the client opened according to the table. Several sinks may write on different
// streams at the same time. The caller owns w.
func NewPortServerSink(w streams.Writer, table *Table) *PortsSink {
	return &PortsSink{relay: NewRelaySink(w), table: table, peer: Server}
}
