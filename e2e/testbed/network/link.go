package network

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/rs/zerolog"
)

// LinkOptions sets how slow and irregular a link is: a TCP relay that simulates a bad network. The
// values apply to each direction of each connection. With the zero value, the relay changes
// nothing.
type LinkOptions struct {
	Latency time.Duration
	// largest difference between the latency of one piece of data and the field Latency; the pieces
	// arrive in order
	Jitter time.Duration
	Rate   int // bytes per second, rounded down to a multiple of 1,000; 0: no limit
	// average number of bytes in one write; 0: the relay does not split writes
	Slice int
}

// StartLink starts a TCP relay in front of target, a host:port, that simulates a slow network. The
// testbed stops the relay.
func (n *Network) StartLink(target string, o LinkOptions) (*Relay, error) {
	l := &link{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
	l.toxics = toxiproxy.NewProxy(l.server, "link", "", target).Toxics
	for _, way := range []stream.Direction{stream.Upstream, stream.Downstream} {
		for _, toxic := range o.toxics() {
			toxic.Stream = way.String()
			b, err := json.Marshal(toxic)
			if err != nil {
				return nil, err
			}
			if _, err := l.toxics.AddToxicJson(strings.NewReader(string(b))); err != nil {
				return nil, fmt.Errorf("testbed: add a toxic to the link: %w", err)
			}
		}
	}
	return n.startRelay(target, l.carry)
}

type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

// toxics converts o to toxics, the effects on a connection that the library toxiproxy implements.
// The bandwidth toxic is before the latency toxic, because otherwise the latency toxic's buffer of
// 1,024 pieces of data would fill up. The slicer is last, because a toxic after it would join the
// slices again.
func (o LinkOptions) toxics() []toxic {
	var all []toxic
	if o.Rate > 0 {
		all = append(all, toxic{Type: "bandwidth", Attributes: map[string]int{"rate": o.Rate / 1000}})
	}
	if o.Latency > 0 {
		all = append(all, toxic{Type: "latency", Attributes: map[string]int{
			"latency": int(o.Latency.Milliseconds()), "jitter": int(o.Jitter.Milliseconds()),
		}})
	}
	if o.Slice > 0 {
		all = append(all, toxic{Type: "slicer", Attributes: map[string]int{"average_size": o.Slice, "size_variation": o.Slice / 2}})
	}
	return all
}

// link is a TCP relay that applies toxiproxy's toxics (effects such as latency) but handles the
// connections itself. Toxiproxy's own proxy closes both directions when one has ended. If the
// server ended its direction, a ping that the client then sends would get a TCP reset, which does
// not happen in a real network.
type link struct {
	server *toxiproxy.ApiServer
	toxics *toxiproxy.ToxicCollection
}

func (l *link) carry(client, server net.Conn) {
	var ways sync.WaitGroup
	ways.Add(2)
	name := client.RemoteAddr().String()
	l.toxics.StartLink(l.server, name+" up", client, &farEnd{server, client, ways.Done}, stream.Upstream)
	l.toxics.StartLink(l.server, name+" down", server, &farEnd{client, server, ways.Done}, stream.Downstream)
	ways.Wait()
}

// farEnd is the connection to which a link forwards one direction. Its method Close, which is
// called once, ends only that direction.
type farEnd struct {
	to, from net.Conn
	ended    func()
}

// Write forwards p. If that fails, it closes both connections. It always returns success, so that
// data in flight to a broken connection is dropped.
func (e *farEnd) Write(p []byte) (int, error) {
	if _, err := e.to.Write(p); err != nil {
		e.to.Close()
		e.from.Close()
	}
	return len(p), nil
}

func (e *farEnd) Close() error {
	defer e.ended()
	return e.to.(*net.TCPConn).CloseWrite()
}
