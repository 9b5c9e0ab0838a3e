package spdy

import (
	"strconv"

	"edge/streams"
)

// PortServerSource reads the client's side of a port-forward whose connections end in edge, each
// with its own upstream session. It accepts every stream at once, with a SYN_REPLY that it encodes
// itself, or refuses the stream as the container runtime does.
type PortServerSource struct {
	relay   *RelaySource
	replies blockWriter
	opened  PortOpening
}

// A PortOpening holds the headers with which a client opened a stream of a connection. The two
// streams of a connection have the same Request, if the client sent one.
type PortOpening struct {
	Error   bool // true: the error stream; false: the data stream
	Port    uint16
	Request string
}

// MaxPortReply limits the answers to one stream, in bytes: a SYN_REPLY and an RST_STREAM, each in a
// WebSocket message of a tunnel.
const MaxPortReply = 64

// NewPortServerSource returns a source that reads the client's frames from r. The caller closes r.
// Answers go to rep.
func NewPortServerSource(r *streams.Reader, rep streams.Replier, table *Table) *PortServerSource {
	s := &PortServerSource{relay: NewRelaySource(r, rep, Client, table)}
	s.relay.blocks.ports = true
	return s
}

// Next implements streams.Source. After an Open frame, Opened returns the headers of the opened
// stream.
func (s *PortServerSource) Next() (streams.Frame, error) {
	for {
		f, err := s.relay.Next()
		switch {
		case err != nil:
			return f, err
		case f.Kind == streams.Headers:
			continue
		case f.Kind != streams.Open:
			return f, nil
		}
		var ok bool
		if s.opened, ok = s.relay.last.opening(); !ok {
			s.relay.after = streams.Frame{} // drops the HalfClose of a refused SYN_STREAM with FIN
			if err := s.Reset(f.Stream.ID); err != nil {
				return streams.Frame{}, err
			}
			continue
		}
		var reply [64]byte
		err = s.relay.rep.Reply(s.replies.appendSynReply(reply[:0], f.Stream.ID))
		return s.relay.bare(streams.Open, f.Stream, 0), err
	}
}

// Opened returns the headers of the stream for which Next last returned an Open frame.
func (s *PortServerSource) Opened() PortOpening { return s.opened }

// Reset resets a stream. It sends the RST_STREAM through the source's Replier, so that it never
// waits for the client. It is safe for concurrent use.
func (s *PortServerSource) Reset(id uint32) error {
	if !s.relay.table.reset(id) {
		return nil
	}
	var b [headLen + rstStreamLen]byte
	return s.relay.rep.Reply(appendReset(b[:0], id, resetCancel))
}

// opening checks the headers of a stream by the rules of httpStreamReceived in cri-streaming, the
// code of the container runtimes.
func (h headers) opening() (o PortOpening, ok bool) {
	port, err := strconv.ParseUint(h.port, 10, 16)
	isKnown := h.kind == "error" || h.kind == "data"
	if err != nil || port == 0 || !isKnown {
		return o, false
	}
	return PortOpening{Error: h.kind == "error", Port: uint16(port), Request: h.request}, true
}
