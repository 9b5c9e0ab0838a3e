package spdy

import "edge/streams"

// PortsSource reads the server's leg of a port-forward that OpenPorts opened,
// for a client that can neither half-close nor reset. The server ends a data
// stream when nobody in the pod listens any more; bytes that came then would
// block its connection (moby/spdystream), so the stream is reset, as client-go
// does. When the table is empty every connection has ended.
type PortsSource struct {
	relay *RelaySource
}

// NewPortsSource reads from r what the server sends. It owns r's position, not
// r. The resets go to rep.
func NewPortsSource(r *streams.Reader, rep streams.Replier, table *Table) *PortsSource {
	return &PortsSource{NewRelaySource(r, rep, Server, table)}
}

// Next implements streams.Source.
func (s *PortsSource) Next() (streams.Frame, error) {
	f, err := s.relay.Next()
	if err != nil || f.Kind != streams.HalfClose {
		return f, err
	}
	if _, isErr, ok := streams.PortOf(f.Stream.ID); ok && !isErr && s.relay.table.reset(f.Stream.ID) {
		var b [headLen + rstStreamLen]byte
		err = s.relay.rep.Reply(appendReset(b[:0], f.Stream.ID, resetCancel))
	}
	return f, err
}
