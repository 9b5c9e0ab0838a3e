package spdy

import (
	"encoding/binary"
	"errors"

	"edge/streams"
)

// ExecUpstreamSource reads the frames that the server of an exec or attach sends.
type ExecUpstreamSource struct {
	frameReader
	ids    *ids
	ended  roleSet // roles of the streams with a FIN from the server: no more data comes on them
	closed roleSet // roles of the streams with an RST_STREAM from the server, and Error after its Status

	opens    roleSet // roles of the streams whose SYN_STREAM the server has not answered yet
	answered func()  // called when the server has answered every SYN_STREAM; may be nil

	role   streams.Role // role of the current data frame; 0: its data is dropped
	status []byte       // free bytes, then the bytes of the error stream; nil: no bytes
	err    error        // error that Next returns after the remaining frames
}

// NewExecUpstreamSource returns a source that reads from r the streams that ExecUpstreamSink.Open opens
// for the same set. The caller closes r.
func NewExecUpstreamSource(r *streams.Reader, rep streams.Replier, set streams.Set) *ExecUpstreamSource {
	s := &ExecUpstreamSource{frameReader: frameReader{r: r, rep: rep, even: true}, ids: newIDs(set)}
	for _, r := range openOrder {
		if set.Has(r) {
			s.opens.add(r)
		}
	}
	return s
}

// OnAnswered makes Next call f once, when the server has accepted or reset every stream of the set.
// The caller calls OnAnswered before the first Next.
func (s *ExecUpstreamSource) OnAnswered(f func()) { s.answered = f }

// answer records that the server has answered the SYN_STREAM of role r.
func (s *ExecUpstreamSource) answer(r streams.Role) {
	if !s.opens.has(r) {
		return
	}
	if s.opens.remove(r); s.opens == 0 && s.answered != nil {
		s.answered()
	}
}

// Next implements streams.Source.
func (s *ExecUpstreamSource) Next() (streams.Frame, error) {
	for {
		if f, ok := s.taken(); ok {
			return f, nil
		}
		if s.err != nil {
			return streams.Frame{}, s.err
		}
		f, err := s.step()
		if f.Kind != 0 {
			return f, nil
		}
		if err != nil {
			return s.end(err)
		}
	}
}

// end handles the error err after which the source has no more frames. If bytes of the error stream
// were collected, end returns them as a Status, and the next call of Next returns err. If err is a
// *ProtocolError, end returns err at once.
func (s *ExecUpstreamSource) end(err error) (streams.Frame, error) {
	if errors.Is(err, streams.ErrIdle) {
		return streams.Frame{}, err
	}
	s.err = err
	if broken := new(*streams.ProtocolError); s.status != nil && !errors.As(err, broken) {
		return s.outcome(), nil
	}
	return streams.Frame{}, err
}

// step reads one frame from the server, or one piece of a data frame. It may return no frame and no
// error.
func (s *ExecUpstreamSource) step() (f streams.Frame, err error) {
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
	case kindSynReply, kindHeaders:
		// The header block has no meaning to edge, so edge does not inflate (decompress) it.
		id, _, err := s.openStream(synReplyLen)
		if err == nil {
			err = s.skip(h.length - synReplyLen)
		}
		if err == nil && h.kind == kindSynReply {
			s.answer(s.ids.role(id))
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
		r := s.ids.role(id)
		s.answer(r)
		return s.reset(r, binary.BigEndian.Uint32(rest)), nil
	case kindGoAway:
		if f, err = s.goAway(); err == nil && s.status != nil {
			s.after = f
			f = s.outcome()
		}
		return f, err
	}
	return f, violation("a SYN_STREAM from the server")
}

func (s *ExecUpstreamSource) payload() (f streams.Frame, err error) {
	switch s.role {
	case streams.Stdout, streams.Stderr:
		return s.cut(streams.Stream{Role: s.role})
	case streams.Error:
		return f, s.collect()
	}
	return f, s.drop()
}

// collect appends a piece of the current data frame to the bytes of the error stream.
func (s *ExecUpstreamSource) collect() error {
	if len(s.status)+s.left > streams.Headroom+streams.MaxStatus {
		return tooBig("a status of more than %d bytes", streams.MaxStatus)
	}
	n := min(s.left, streams.MaxData)
	b, err := s.take(n)
	if err != nil {
		return err
	}
	if s.status == nil {
		s.status = make([]byte, streams.Headroom, streams.Headroom+n)
	}
	s.status = append(s.status, b...)
	s.left -= n
	return nil
}

// outcome returns the collected bytes of the error stream, possibly none, as a Status. Later frames
// of the error stream are dropped.
func (s *ExecUpstreamSource) outcome() streams.Frame {
	s.closed.add(streams.Error)
	f := s.bare(streams.Status, streams.Stream{Role: streams.Error}, 0)
	if s.status != nil {
		f.Buf, s.status = s.status, nil
	}
	return f
}

// finish ends the server's direction of the stream with role r.
func (s *ExecUpstreamSource) finish(r streams.Role) (f streams.Frame) {
	if r == 0 || (s.ended | s.closed).has(r) {
		return f
	}
	s.ended.add(r)
	if r == streams.Error {
		return s.outcome()
	}
	return s.bare(streams.HalfClose, streams.Stream{Role: r}, 0)
}

// reset ends the stream with role r in both directions. moby/spdystream ends the error stream in
// this way too.
func (s *ExecUpstreamSource) reset(r streams.Role, code uint32) (f streams.Frame) {
	if r == 0 || s.closed.has(r) {
		return f
	}
	s.closed.add(r)
	if r == streams.Error && s.status != nil {
		return s.outcome()
	}
	return s.bare(streams.Reset, streams.Stream{Role: r}, code)
}
