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

// LinkOptions says how bad a link is, each way and for each connection. The zero value is a good one.
type LinkOptions struct {
	Latency time.Duration
	Jitter  time.Duration // by which a piece takes more or less than Latency; pieces stay in order
	Rate    int           // bytes per second, in whole kilobytes
	Slice   int           // bytes of a write, on average
}

// StartLink starts a relay in front of target, a host:port, that is as slow as a network can be. The testbed stops it.
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
				return nil, fmt.Errorf("testbed: link: %w", err)
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

// toxics is o in toxiproxy's words. What is delayed waits in a buffer of 1024 pieces, so the rate comes first, or that buffer
// would be filled before it. Slices come last: another toxic would put them together.
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

// link has toxiproxy's toxics between connections of its own: toxiproxy's close both ways when one has ended, so that a client's
// ping meets a reset, which no network does.
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

// farEnd is where one way goes. Close, which is called once, is the end of that way alone.
type farEnd struct {
	to, from net.Conn
	ended    func()
}

// Write never fails: what is on the way to a broken connection has to go somewhere.
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
