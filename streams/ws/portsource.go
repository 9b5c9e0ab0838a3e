package ws

import "edge/streams"

// PortSource reads what a client of port-forward sends: data of its
// connections, and the Close. See the package doc for what it ignores.
type PortSource struct {
	channelSource
}

// NewPortSource reads a client's frames from r, beginning after the handshake,
// of a session with that many ports. Answers to pings go to rep. Who made r
// closes it.
func NewPortSource(r *streams.Reader, rep streams.Replier, ports int, d Dialect) *PortSource {
	return &PortSource{channelSource{r: r, rep: rep, text: dialects[d].text, ports: ports, in: frameParser{side: server}}}
}

// Next implements streams.Source, with the errors of ExecServerSource.
func (s *PortSource) Next() (streams.Frame, error) { return s.next() }
