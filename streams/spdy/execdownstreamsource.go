package spdy

import (
	"encoding/binary"

	"edge/streams"
)

// maxRefused limits how many streams of a session are refused one by one. After that, one more
// stream that must be refused ends the session.
const maxRefused = 16

// ExecDownstreamSource reads the frames that the client of an exec or attach sends.
type ExecDownstreamSource struct {
	frameReader
	set    streams.Set
	ids    *ids    // stream IDs: written by the source, also read by the sink
	last   uint32  // the highest ID that the client has used
	ended  roleSet // roles of the streams on which the client has sent a FIN
	closed roleSet // roles of the streams that the client has reset with an RST_STREAM

	blocks  *blockReader // nil after every stream of the set has been opened
	replies blockWriter
	refused int

	role streams.Role // role of the current data frame; 0: its data is dropped
	size sizeReader
}

// NewExecDownstreamSource returns a source that reads the client's frames from r. The source accepts
// each stream of the set as soon as the client opens it, and only once. The caller closes r.
func NewExecDownstreamSource(r *streams.Reader, rep streams.Replier, set streams.Set) *ExecDownstreamSource {
	return &ExecDownstreamSource{
		frameReader: frameReader{r: r, rep: rep},
		set:         set,
		ids:         new(ids),
		blocks:      new(blockReader),
	}
}

// Whole reports whether the client has opened every stream of the set. It is safe for concurrent
// use.
func (s *ExecDownstreamSource) Whole() bool {
	for _, r := range openOrder {
		if s.set.Has(r) && s.ids.id(r) == 0 {
			return false
		}
	}
	return true
}

// Next implements streams.Source. An Open names a stream that the client has opened; Next has
// already accepted it.
func (s *ExecDownstreamSource) Next() (streams.Frame, error) {
	for {
		if f, ok := s.taken(); ok {
			return f, nil
		}
		if f, err := s.step(); f.Kind != 0 || err != nil {
			return f, err
		}
	}
}

// step reads one frame from the client, or one piece of a data frame. It may return no frame and no
// error.
func (s *ExecDownstreamSource) step() (f streams.Frame, err error) {
	if s.left > 0 {
		return s.payload()
	}
	if s.fin {
		s.fin = false
		return s.finish(s.role), nil
	}
	h, err := s.next()
	if err != nil {
		return f, err
	}
	switch h.kind {
	case kindData:
		s.begin(h)
		s.role = s.ids.role(h.id)
		if (s.ended | s.closed).has(s.role) {
			s.role = 0
		}
		return f, nil
	case kindSynStream:
		return s.open(h)
	case kindHeaders:
		id, _, err := s.openStream(synReplyLen)
		if err == nil {
			_, err = s.block(h.length - synReplyLen)
		}
		if err == nil && h.flags&flagFin != 0 {
			f = s.finish(s.ids.role(id))
		}
		return f, err
	case kindRstStream:
		id, rest, err := s.openStream(rstStreamLen)
		if err != nil {
			return f, err
		}
		return s.reset(s.ids.role(id), binary.BigEndian.Uint32(rest)), nil
	case kindGoAway:
		return s.goAway()
	}
	return f, violation("a SYN_REPLY from the client")
}

// open accepts or refuses the stream that the client opens with the SYN_STREAM h.
func (s *ExecDownstreamSource) open(h head) (f streams.Frame, err error) {
	id, _, err := s.openStream(synStreamLen)
	if err != nil {
		return f, err
	}
	if h.flags&flagUnidirectional != 0 {
		return f, violation("a unidirectional stream")
	}
	if id%2 == 0 || id <= s.last {
		return f, violation("invalid stream ID %d after %d: must be odd and increase", id, s.last)
	}
	s.last = id
	kind, err := s.block(h.length - synStreamLen)
	if err != nil {
		return f, err
	}
	r := s.wanted(kind)
	if r == 0 {
		return f, s.refuse(id)
	}
	var reply [64]byte
	if err := s.rep.Reply(s.replies.appendSynReply(reply[:0], id)); err != nil {
		return f, err
	}
	// Store the ID only after the SYN_REPLY: from now on the sink may write on the stream, and a
	// client drops data that arrives before the SYN_REPLY.
	s.ids[r].Store(id)
	if s.Whole() {
		s.blocks = nil
	}
	if h.flags&flagFin != 0 {
		s.after = s.finish(r)
	}
	return s.bare(streams.Open, streams.Stream{Role: r}, 0), nil
}

// wanted returns the role for the value kind of the header streamtype, if the set has a stream of
// this role that is not open yet. Otherwise it returns 0.
func (s *ExecDownstreamSource) wanted(kind string) streams.Role {
	for _, r := range openOrder {
		if streamType(r) == kind && s.set.Has(r) && s.ids.id(r) == 0 {
			return r
		}
	}
	return 0
}

func (s *ExecDownstreamSource) refuse(id uint32) error {
	if s.refused++; s.refused > maxRefused {
		return violation("more than %d refused streams", maxRefused)
	}
	var reset [headLen + rstStreamLen]byte
	return s.rep.Reply(appendReset(reset[:0], id, resetRefused))
}

// block reads the header block of a SYN_STREAM. It skips the block if every stream of the set is
// open.
func (s *ExecDownstreamSource) block(n int) (kind string, err error) {
	if s.blocks == nil {
		return "", s.skip(n)
	}
	b, err := s.take(n)
	if err != nil {
		return "", err
	}
	h, err := s.blocks.read(b)
	return h.kind, err
}

func (s *ExecDownstreamSource) payload() (f streams.Frame, err error) {
	switch s.role {
	case streams.Stdin:
		return s.cut(streams.Stream{Role: s.role})
	case streams.Terminal:
		return s.resize()
	}
	return f, s.drop()
}

func (s *ExecDownstreamSource) resize() (f streams.Frame, err error) {
	b, err := s.peek(min(s.left, streams.MaxResize))
	if err != nil {
		return f, err
	}
	n, whole, err := s.size.feed(b)
	s.r.Skip(n)
	s.left -= n
	if whole {
		f = s.size.frame()
	}
	return f, err
}

// finish ends the client's direction of the stream with role r.
func (s *ExecDownstreamSource) finish(r streams.Role) (f streams.Frame) {
	if r == 0 || (s.ended | s.closed).has(r) {
		return f
	}
	s.ended.add(r)
	return s.bare(streams.HalfClose, streams.Stream{Role: r}, 0)
}

func (s *ExecDownstreamSource) reset(r streams.Role, code uint32) (f streams.Frame) {
	if r == 0 || s.closed.has(r) {
		return f
	}
	s.closed.add(r)
	return s.bare(streams.Reset, streams.Stream{Role: r}, code)
}
