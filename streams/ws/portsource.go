package ws

import "edge/streams"

// PortSource reads what the client of a port-forward sends: the data of its connections, and the
// Close. It ignores some messages, which the package doc lists.
type PortSource struct {
	channelSource
}

// NewPortSource returns a source that reads a client's frames from r, after the WebSocket
// handshake. ports is the number of ports of the session. The source sends answers to pings to rep.
// The caller closes r.
func NewPortSource(r *streams.Reader, rep streams.Replier, ports int, d Dialect) *PortSource {
	return &PortSource{channelSource{r: r, rep: rep, text: dialects[d].text, ports: ports, in: frameParser{side: server}}}
}

// Next implements streams.Source. It returns the same errors as the Next of ExecDownstreamSource.
func (s *PortSource) Next() (streams.Frame, error) { return s.next() }
