package ws

import "edge/streams"

// PortSource reads what the client of a port-forward sends: the data of its connections, and the
// Close. The package doc lists the messages that it ignores.
type PortSource struct {
	channelSource
}

// NewPortSource returns a source that reads a client's frames from r. ports is the number of ports
// of the session. The handshake is already done. The source sends answers to pings to rep. The
// caller closes r.
func NewPortSource(r *streams.Reader, rep streams.Replier, ports int, d Dialect) *PortSource {
	return &PortSource{channelSource{r: r, rep: rep, text: dialects[d].text, ports: ports, in: frameParser{side: server}}}
}

// Next implements streams.Source. Its errors are those of ExecServerSource.
func (s *PortSource) Next() (streams.Frame, error) { return s.next() }
