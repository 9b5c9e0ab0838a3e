package spdy

import (
	"encoding/binary"

	"edge/streams"
)

// maxRefused bounds the streams of a session that are refused, one by one.
const maxRefused = 16

// ExecServerSource reads what the client of an exec or attach sends.
type ExecServerSource struct {
	frameReader
	set    streams.Set
	ids    *ids    // written here, read by the sink too
	last   uint32  // the highest id that the client used
	ended  roleSet // by FIN
	closed roleSet // by RST_STREAM

	blocks  *blockReader // nil once the set is whole
	replies blockWriter
	refused int

	role streams.Role // of the data frame that is being read; 0: dropped
	size sizeReader
}

// NewExecServerSource reads from r, and accepts the streams of the set, each at
// once and once. It owns r's position, not r.
func NewExecServerSource(r *streams.Reader, rep streams.Replier, set streams.Set) *ExecServerSource {
	return &ExecServerSource{
		frameReader: frameReader{r: r, rep: rep},
		set:         set,
		ids:         new(ids),
		blocks:      new(blockReader),
	}
}

// Whole says whether the client opened every stream of the set. Safe for
// concurrent use.
func (s *ExecServerSource) Whole() bool {
	for _, r := range openOrder {
		if s.set.Has(r) && s.ids.id(r) == 0 {
			return false
		}
	}
	return true
}

// Next implements streams.Source. An Open says which stream the client opened;
// it was accepted already.
func (s *ExecServerSource) Next() (streams.Frame, error) {
	for {
		if f, ok := s.taken(); ok {
			return f, nil
		}
		if f, err := s.step(); f.Kind != 0 || err != nil {
			return f, err
		}
	}
}

// step reads one frame, or one piece of a data frame. It may give no frame.
func (s *ExecServerSource) step() (f streams.Frame, err error) {
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
	return f, violation("an answer to a stream that nobody opened")
}

// open accepts or refuses a stream.
func (s *ExecServerSource) open(h head) (f streams.Frame, err error) {
	id, _, err := s.openStream(synStreamLen)
	if err != nil {
		return f, err
	}
	if h.flags&flagUnidirectional != 0 {
		return f, violation("a unidirectional stream")
	}
	if id%2 == 0 || id <= s.last {
		return f, violation("stream id %d after %d", id, s.last)
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
	// From here on the sink may write on the stream: the answer goes before.
	s.ids[r].Store(id)
	if s.Whole() {
		s.blocks = nil
	}
	if h.flags&flagFin != 0 {
		s.after = s.finish(r)
	}
	return s.bare(streams.Open, streams.Stream{Role: r}, 0), nil
}

// wanted is the role of a stream of the set that is not open yet, or 0.
func (s *ExecServerSource) wanted(kind string) streams.Role {
	for _, r := range openOrder {
		if streamType(r) == kind && s.set.Has(r) && s.ids.id(r) == 0 {
			return r
		}
	}
	return 0
}

func (s *ExecServerSource) refuse(id uint32) error {
	if s.refused++; s.refused > maxRefused {
		return violation("more than %d streams too many", maxRefused)
	}
	var reset [headLen + rstStreamLen]byte
	return s.rep.Reply(appendReset(reset[:0], id, resetRefused))
}

// block reads a header block. Once the set is whole nobody asks what is in one.
func (s *ExecServerSource) block(n int) (kind string, err error) {
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

func (s *ExecServerSource) payload() (f streams.Frame, err error) {
	switch s.role {
	case streams.Stdin:
		return s.cut(streams.Stream{Role: s.role})
	case streams.Terminal:
		return s.resize()
	}
	return f, s.drop()
}

func (s *ExecServerSource) resize() (f streams.Frame, err error) {
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

// finish ends the client's direction of a stream.
func (s *ExecServerSource) finish(r streams.Role) (f streams.Frame) {
	if r == 0 || (s.ended | s.closed).has(r) {
		return f
	}
	s.ended.add(r)
	return s.bare(streams.HalfClose, streams.Stream{Role: r}, 0)
}

func (s *ExecServerSource) reset(r streams.Role, code uint32) (f streams.Frame) {
	if r == 0 || s.closed.has(r) {
		return f
	}
	s.closed.add(r)
	return s.bare(streams.Reset, streams.Stream{Role: r}, code)
}
