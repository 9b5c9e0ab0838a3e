package testbed

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// LinkOptions says how bad a link is, each way and for each connection. The zero value is a good one.
type LinkOptions struct {
	Latency time.Duration
	Jitter  time.Duration // by which a piece takes more or less than Latency; pieces stay in order
	Rate    int           // bytes per second, in whole kilobytes
	Slice   int           // bytes of a write, on average
}

// Link is a TCP proxy that is as slow as a network can be.
type Link struct{ addr string }

// StartLink starts a link to backend, a host:port. When one side of a connection has ended its writes, the link closes the other
// as soon as it has carried them: half-closed connections do not exist behind it.
func (tb *Testbed) StartLink(backend string, o LinkOptions) (*Link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "link", "127.0.0.1:0", backend)
	for _, way := range []string{"upstream", "downstream"} {
		for _, toxic := range o.toxics() {
			toxic.Stream = way
			b, err := json.Marshal(toxic)
			if err != nil {
				return nil, err
			}
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(string(b))); err != nil {
				return nil, fmt.Errorf("testbed: link: %w", err)
			}
		}
	}
	if err := proxy.Start(); err != nil {
		return nil, fmt.Errorf("testbed: link: %w", err)
	}
	tb.onClose(proxy.Stop)
	return &Link{addr: proxy.Listen}, nil
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

// Through is a way to the backend, as to has it, through the link: the testbed's certificates are for any port.
func (l *Link) Through(to Access) Access {
	to.Server = "https://" + l.addr
	return to
}
