package spdy

import (
	"encoding/binary"

	"edge/streams"
)

// RelaySink writes one side of a port-forward: the frames that a RelaySource has read from the
// other side, with their stream IDs and header blocks.
type RelaySink struct{ frameWriter }

// NewRelaySink returns a sink that writes to w. The caller owns w.
func NewRelaySink(w streams.Writer) *RelaySink { return &RelaySink{frameWriter: newFrameWriter(w)} }

// Write implements streams.Sink. It drops Resize, Status, and frames of streams whose role is not
// Port.
func (s *RelaySink) Write(f streams.Frame) error {
	id := f.Stream.ID
	if f.Kind == streams.Close {
		return s.goAway(id, f.Code)
	}
	if f.Stream.Role != streams.Port {
		return nil
	}
	switch f.Kind {
	case streams.Open:
		return s.block(kindSynStream, synStreamLen, f)
	case streams.Accept:
		return s.block(kindSynReply, synReplyLen, f)
	case streams.Headers:
		return s.block(kindHeaders, synReplyLen, f)
	case streams.Data:
		return s.data(id, f)
	case streams.HalfClose:
		return s.fin(id)
	case streams.Reset:
		return s.reset(id, f.Code)
	}
	return nil
}

// block writes a frame with a header block. The priority and the associated stream of a SYN_STREAM
// are 0, as in client-go.
func (s *RelaySink) block(kind uint16, fixed int, f streams.Frame) error {
	n := fixed + len(f.Payload())
	b, err := s.batch.Grow(headLen + n)
	if err != nil {
		return err
	}
	appendControl(b[:0], kind, n)
	clear(b[headLen : headLen+fixed])
	binary.BigEndian.PutUint32(b[headLen:], f.Stream.ID)
	copy(b[headLen+fixed:], f.Payload())
	return nil
}
