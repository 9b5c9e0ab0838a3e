package spdy

import "edge/streams"

// ExecDownstreamSink writes the frames that the server of an exec or attach sends.
type ExecDownstreamSink struct {
	frameWriter
	ids    *ids
	ended  roleSet // roles of the streams on which the sink writes no more data
	closed roleSet // roles of the streams on which the sink writes no more frames
}

// NewExecDownstreamSink returns a sink that writes to w, on the streams that source has accepted from
// the client. source may read at the same time. The sink drops a frame for a stream that is not
// open yet, so the caller waits until source.Whole returns true. The caller owns w.
func NewExecDownstreamSink(w streams.Writer, source *ExecDownstreamSource) *ExecDownstreamSink {
	return &ExecDownstreamSink{frameWriter: newFrameWriter(w), ids: source.ids}
}

// Write implements streams.Sink. It writes Data on stdout and stderr, and Close. For each stream it
// writes Status, Reset and HalfClose at most once. It drops a HalfClose of the error stream,
// because client-go takes an empty error stream as success. It drops all other frames.
func (s *ExecDownstreamSink) Write(f streams.Frame) error {
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
