package spdy

import "edge/streams"

// ExecServerSink writes what the server of an exec or attach sends.
type ExecServerSink struct {
	frameWriter
	ids    *ids
	ended  roleSet // no more data can be said
	closed roleSet // nothing more can be said
}

// NewExecServerSink writes to w, on the streams that the client opened towards
// source, which may read at the same time. A frame for a stream that is not
// open yet is dropped: wait until source is Whole. The caller owns w.
func NewExecServerSink(w streams.Writer, source *ExecServerSource) *ExecServerSink {
	return &ExecServerSink{frameWriter: newFrameWriter(w), ids: source.ids}
}

// Write implements streams.Sink. It can say Data on stdout and stderr, Status,
// Close, the Reset of any stream, and the HalfClose of any but the error stream
// (client-go takes one that ends empty for success), each once; it drops all
// else.
func (s *ExecServerSink) Write(f streams.Frame) error {
	if f.Kind == streams.Close {
		return s.goAway(s.ids.last(), f.Code)
	}
	r := f.Stream.Role
	id := s.ids.id(r)
	if id == 0 || s.closed.has(r) {
		return nil
	}
	if f.Kind == streams.Reset {
		s.closed.add(r)
		return s.reset(id, f.Code)
	}
	if s.ended.has(r) {
		return nil
	}
	switch {
	case f.Kind == streams.HalfClose && r != streams.Error:
		s.ended.add(r)
		return s.fin(id)
	case f.Kind == streams.Data && (r == streams.Stdout || r == streams.Stderr):
		return s.data(id, f)
	case f.Kind == streams.Status && r == streams.Error:
		s.closed.add(r)
		if err := s.data(id, f); err != nil {
			return err
		}
		return s.fin(id)
	}
	return nil
}
