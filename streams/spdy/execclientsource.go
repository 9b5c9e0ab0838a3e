package spdy

import (
	"encoding/binary"
	"errors"

	"edge/streams"
)

// ExecClientSource reads what the server of an exec or attach sends.
type ExecClientSource struct {
	frameReader
	ids    *ids
	ended  roleSet // by FIN: no more data from the server
	closed roleSet // by RST_STREAM, or the error stream after its Status

	opens    roleSet // that the server has not answered yet
	answered func()  // called when it has answered all; may be nil

	role   streams.Role // of the data frame that is being read; 0: dropped
	status []byte       // room and what came on the error stream; nil: nothing
	err    error        // ends the source when the frames before it were given
}

// NewExecClientSource reads from r the streams that ExecClientSink.Open opens
// for the same set. It owns r's position, not r.
func NewExecClientSource(r *streams.Reader, rep streams.Replier, set streams.Set) *ExecClientSource {
	s := &ExecClientSource{frameReader: frameReader{r: r, rep: rep, even: true}, ids: newIDs(set)}
	for _, r := range openOrder {
		if set.Has(r) {
			s.opens.add(r)
		}
	}
	return s
}

// OnAnswered has f called by Next, once, when the server has accepted or reset
// every stream of the set. Set it before the first Next.
func (s *ExecClientSource) OnAnswered(f func()) { s.answered = f }

// answer takes note of an open's answer.
func (s *ExecClientSource) answer(r streams.Role) {
	if !s.opens.has(r) {
		return
	}
	if s.opens.remove(r); s.opens == 0 && s.answered != nil {
		s.answered()
	}
}

// Next implements streams.Source.
func (s *ExecClientSource) Next() (streams.Frame, error) {
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

// end gives the status that came without an end of its stream, before err.
func (s *ExecClientSource) end(err error) (streams.Frame, error) {
	if errors.Is(err, streams.ErrIdle) {
		return streams.Frame{}, err
	}
	s.err = err
	if broken := new(*streams.ProtocolError); s.status != nil && !errors.As(err, broken) {
		return s.outcome(), nil
	}
	return streams.Frame{}, err
}

// step reads one frame, or one piece of a data frame. It may give no frame.
func (s *ExecClientSource) step() (f streams.Frame, err error) {
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
		// What is in the header block means nothing, so it is not inflated.
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
	return f, violation("a stream that the server opens")
}

func (s *ExecClientSource) payload() (f streams.Frame, err error) {
	switch s.role {
	case streams.Stdout, streams.Stderr:
		return s.cut(streams.Stream{Role: s.role})
	case streams.Error:
		return f, s.collect()
	}
	return f, s.drop()
}

// collect appends a piece of the data frame to the status.
func (s *ExecClientSource) collect() error {
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

// outcome makes the Status of what was collected, maybe nothing. No more of the
// error stream is given.
func (s *ExecClientSource) outcome() streams.Frame {
	s.closed.add(streams.Error)
	f := s.bare(streams.Status, streams.Stream{Role: streams.Error}, 0)
	if s.status != nil {
		f.Buf, s.status = s.status, nil
	}
	return f
}

// finish ends the server's direction of a stream.
func (s *ExecClientSource) finish(r streams.Role) (f streams.Frame) {
	if r == 0 || (s.ended | s.closed).has(r) {
		return f
	}
	s.ended.add(r)
	if r == streams.Error {
		return s.outcome()
	}
	return s.bare(streams.HalfClose, streams.Stream{Role: r}, 0)
}

// reset ends a stream. moby/spdystream ends the error stream so, too.
func (s *ExecClientSource) reset(r streams.Role, code uint32) (f streams.Frame) {
	if r == 0 || s.closed.has(r) {
		return f
	}
	s.closed.add(r)
	if r == streams.Error && s.status != nil {
		return s.outcome()
	}
	return s.bare(streams.Reset, streams.Stream{Role: r}, code)
}
