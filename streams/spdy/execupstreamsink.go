package spdy

import "edge/streams"

// ExecUpstreamSink writes the frames that the client of an exec or attach sends.
type ExecUpstreamSink struct {
	frameWriter
	set    streams.Set
	ids    *ids
	ended  roleSet // roles of the streams on which the sink writes no more data
	closed roleSet // roles of the streams on which the sink writes no more frames
}

// NewExecUpstreamSink returns a sink that writes to w. The caller owns w.
func NewExecUpstreamSink(w streams.Writer, set streams.Set) *ExecUpstreamSink {
	return &ExecUpstreamSink{frameWriter: newFrameWriter(w), set: set, ids: newIDs(set)}
}

// Open opens all streams of the set in one write. The caller calls it once, before Write.
func (s *ExecUpstreamSink) Open() error {
	b := make([]byte, streams.Headroom, 512)
	var blocks blockWriter
	for _, r := range openOrder {
		if s.set.Has(r) {
			b = blocks.appendSynStream(b, s.ids.id(r), "streamtype", streamType(r))
		}
	}
	return s.batch.W.WriteRoom(b, streams.Headroom)
}

// Write implements streams.Sink. It writes Data on stdin and Resize. For each stream of the set it
// writes HalfClose and Reset at most once. It drops all other frames.
func (s *ExecUpstreamSink) Write(f streams.Frame) error {
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
	case f.Kind == streams.HalfClose:
		s.ended.add(r)
		return s.fin(id)
	case f.Kind == streams.Data && r == streams.Stdin, f.Kind == streams.Resize && r == streams.Terminal:
		return s.data(id, f)
	}
	return nil
}
