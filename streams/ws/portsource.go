package ws

import "edge/streams"

// PortSource reads what a client of port-forward sends: data of its
// connections, and the Close. See the package doc for what it ignores.
type PortSource struct {
	messages
}

// NewPortSource reads a client's frames from r, beginning after the handshake,
// of a session with that many ports. Answers to pings go to rep. Who made r
// closes it.
func NewPortSource(r *streams.Reader, rep streams.Replier, ports int, d Dialect) *PortSource {
	return &PortSource{messages{r: r, rep: rep, text: dialects[d].text, ports: ports, in: inbound{side: server}}}
}

// Next implements streams.Source, with the errors of ExecServerSource.
func (s *PortSource) Next() (streams.Frame, error) { return s.next() }

// portSays is what a client may write on a channel of that many ports.
func portSays(channel byte, ports int) meaning {
	n := int(channel / 2)
	if n >= ports || channel%2 == channelPortError {
		return meaning{}
	}
	data, _ := streams.PortStreams(n)
	return meaning{kind: streams.Data, role: data.Role, id: data.ID}
}
