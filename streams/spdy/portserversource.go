package spdy

import (
	"strconv"

	"edge/streams"
)

// PortServerSource reads the client's leg of a port-forward whose connections
// end here, each going on by itself. It accepts every stream at once, with a
// block of its own, or refuses it as the container runtime does.
type PortServerSource struct {
	relay   *RelaySource
	replies blockWriter
	opened  PortOpening
}

// A PortOpening is what a client said when it opened a stream of a connection.
// The two streams of a connection have the same Request, if there is one.
type PortOpening struct {
	Error   bool // the error stream, not the data stream
	Port    uint16
	Request string
}

// MaxPortReply is the most that one stream's answers take, in bytes: that it is
// accepted, and its reset, each in a message of a tunnel.
const MaxPortReply = 64

// NewPortServerSource reads from r what the client sends. It owns r's position,
// not r. Answers go to rep.
func NewPortServerSource(r *streams.Reader, rep streams.Replier, table *Table) *PortServerSource {
	s := &PortServerSource{relay: NewRelaySource(r, rep, Client, table)}
	s.relay.blocks.ports = true
	return s
}

// Next implements streams.Source. What an Open says is Opened's.
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
			s.relay.after = streams.Frame{} // the end that came with it
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

// Opened is what the last Open said.
func (s *PortServerSource) Opened() PortOpening { return s.opened }

// Reset ends a stream from this side, through the Replier, so that it never
// waits for the client. Safe for concurrent use.
func (s *PortServerSource) Reset(id uint32) error {
	if !s.relay.table.reset(id) {
		return nil
	}
	var b [headLen + rstStreamLen]byte
	return s.relay.rep.Reply(appendReset(b[:0], id, resetCancel))
}

// opening reads the headers by the rules of cri-streaming's httpStreamReceived.
func (h headers) opening() (o PortOpening, ok bool) {
	port, err := strconv.ParseUint(h.port, 10, 16)
	isKnown := h.kind == "error" || h.kind == "data"
	if err != nil || port == 0 || !isKnown {
		return o, false
	}
	return PortOpening{Error: h.kind == "error", Port: uint16(port), Request: h.request}, true
}
