package spdy

import (
	"encoding/binary"

	"edge/streams"
)

// RelaySource reads one side of a port-forward. It inflates header blocks only to check them
// against the limits, and returns them unchanged.
type RelaySource struct {
	frameReader
	peer   Peer
	table  *Table
	blocks blockReader
	last   headers // values from the last header block
	id     uint32  // stream ID of the current data frame
	spoken bool    // true: the current data frame is returned; false: it is dropped
}

// NewRelaySource returns a source that reads from r the frames of a client or server; the parameter
// peer states which. The two sources of a session, for the client and for the server, share the
// table. The caller closes r.
func NewRelaySource(r *streams.Reader, rep streams.Replier, peer Peer, table *Table) *RelaySource {
	return &RelaySource{frameReader: frameReader{r: r, rep: rep, even: peer == Server}, peer: peer, table: table}
}

// Next implements streams.Source.
func (s *RelaySource) Next() (streams.Frame, error) {
	for {
		if f, ok := s.taken(); ok {
			return f, nil
		}
		if f, err := s.step(); f.Kind != 0 || err != nil {
			return f, err
		}
	}
}

// step reads one frame from the peer, or one piece of a data frame. It may return no frame and no
// error.
func (s *RelaySource) step() (f streams.Frame, err error) {
	switch {
	case s.left > 0 && s.spoken:
		return s.cut(port(s.id))
	case s.left > 0:
		return f, s.drop()
	case s.fin:
		s.fin = false
		return s.finish(s.id), nil
	}
	h, err := s.next()
	if err != nil {
		return f, err
	}
	switch h.kind {
	case kindData:
		s.begin(h)
		s.id = h.id
		s.spoken = s.table.speaks(h.id, s.peer)
		return f, nil
	case kindSynStream:
		return s.open(h)
	case kindSynReply:
		if s.peer == Client {
			return f, violation("a SYN_REPLY from the client")
		}
		return s.headers(streams.Accept, h)
	case kindHeaders:
		return s.headers(streams.Headers, h)
	case kindRstStream:
		id, rest, err := s.openStream(rstStreamLen)
		if err == nil && s.table.reset(id) {
			f = s.bare(streams.Reset, port(id), binary.BigEndian.Uint32(rest))
		}
		return f, err
	}
	// The frame is a GOAWAY: the method next returns no kinds other than GOAWAY and those in the
	// cases above.
	return s.goAway()
}

func (s *RelaySource) open(h head) (f streams.Frame, err error) {
	id, _, err := s.openStream(synStreamLen)
	switch {
	case err != nil:
	case s.peer == Server:
		err = violation("a SYN_STREAM from the server")
	case h.flags&flagUnidirectional != 0:
		err = violation("a unidirectional stream")
	default:
		err = s.table.add(id)
	}
	if err != nil {
		return f, err
	}
	return s.block(streams.Open, h, id, synStreamLen)
}

func (s *RelaySource) headers(k streams.Kind, h head) (f streams.Frame, err error) {
	id, _, err := s.openStream(synReplyLen)
	if err != nil {
		return f, err
	}
	return s.block(k, h, id, synReplyLen)
}

// block returns a header block, even if its stream is not open any more: the receiver of the block
// needs it to inflate the later blocks.
func (s *RelaySource) block(k streams.Kind, h head, id uint32, fixed int) (f streams.Frame, err error) {
	n := h.length - fixed
	b, err := s.take(n)
	if err != nil {
		return f, err
	}
	if s.last, err = s.blocks.read(b); err != nil {
		return f, err
	}
	if h.flags&flagFin != 0 {
		s.after = s.finish(id)
	}
	buf, off := s.r.Room(n)
	return streams.Frame{Kind: k, Stream: port(id), Buf: buf, Off: off}, nil
}

func (s *RelaySource) finish(id uint32) (f streams.Frame) {
	if s.table.finish(id, s.peer) {
		f = s.bare(streams.HalfClose, port(id), 0)
	}
	return f
}

func port(id uint32) streams.Stream { return streams.Stream{Role: streams.Port, ID: id} }
