package spdy

import "edge/streams"

// PortsSource reads the server's side of a port-forward that OpenPorts opened, for a client that
// can neither half-close nor reset a stream. The server half-closes a data stream when the process
// in the pod has closed its connection. If bytes arrived at the server after that, they would block
// the goroutine of moby/spdystream that handles the stream. So PortsSource resets the stream, as
// client-go does. When the table is empty, every connection has ended.
type PortsSource struct {
	relay *RelaySource
}

// NewPortsSource returns a source that reads the server's frames from r. The caller closes r. The
// source sends its resets to rep.
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
