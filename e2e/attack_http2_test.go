package e2e

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edge/e2e/testbed/cluster"
)

// The size of a flood of HTTP/2 frames: the number of concurrent connections, and the maximum
// number of frames on each connection.
const (
	floodConnections = 8
	floodFrames      = 400_000
	floodTime        = 25 * time.Second // timeout of a flood; a flood normally ends earlier
)

// flooded is an edge that a test attacks with floods of HTTP/2 frames. During an attack, edge must
// serve the bystander, a client with valid requests, and edge's memory must not exceed a limit.
type flooded struct {
	attacked
	bystander *bystander
	before    int // resident memory before the attack, in bytes
}

func startFlooded(t *testing.T) flooded {
	t.Helper()
	a := attack(t, cluster.New)
	b := stand(t, a.as(tokens["alice"]))
	return flooded{a, b, settled(t, a.Edge, b)}
}

// flood writes HTTP/2 frames on several connections until edge has closed the connections or all
// frames are written. If listens is false, the client does not read what edge sends. flood returns
// how many connections edge closed.
func (f flooded) flood(t *testing.T, name string, listens bool, pump func(c *framed, i int) error) (ended int) {
	t.Helper()
	var cut, written atomic.Int64
	var running sync.WaitGroup
	for range floodConnections {
		c := dialFrames(t, f.as(""))
		c.SetDeadline(time.Now().Add(floodTime))
		out := bufio.NewWriterSize(c.Conn, 16<<10)
		c.Framer = http2.NewFramer(out, nil)
		c.Framer.AllowIllegalWrites = true
		listening := make(chan struct{})
		go func() {
			defer close(listening)
			if listens {
				io.Copy(io.Discard, c.Conn)
			}
		}()
		if !listens {
			c.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		running.Go(func() {
			var err error
			for i := 0; i < floodFrames && err == nil; i++ {
				err = pump(c, i)
				written.Add(1)
			}
			// the client has written all frames: check whether edge closes the connection
			if err == nil && !listens {
				err = c.ended()
			}
			if err != nil {
				cut.Add(1)
			}
			c.Close()
			<-listening
		})
	}
	over := make(chan struct{})
	go func() {
		running.Wait()
		close(over)
	}()
	most := 0
	for looking := true; looking; {
		f.bystander.await(t, 1)
		most = max(most, resident(t, f.Edge))
		select {
		case <-over:
			looking = false
		default:
		}
	}
	f.bystander.await(t, 20)
	most = max(most, resident(t, f.Edge))
	if most > f.before+headerBudget+mostGrowth {
		t.Errorf("%s: %d KiB more resident memory, want at most %d", name, (most-f.before)>>10, (headerBudget+mostGrowth)>>10)
	}
	t.Logf("%s: %d frames, %d of %d connections ended by edge, %d KiB more memory, %d requests of a bystander so far",
		name, written.Load(), cut.Load(), floodConnections, (most-f.before)>>10, f.bystander.served.Load())
	return int(cut.Load())
}

// ended returns the error with which edge closed the connection, or nil if edge did not close it
// before the deadline.
func (c *framed) ended() error {
	_, err := io.Copy(io.Discard, c.Conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return cmp.Or(err, io.EOF)
}

// end stops the bystander, the client with valid requests, and checks that the API server received
// only the bystander's requests.
func (f flooded) end(t *testing.T) {
	t.Helper()
	f.bystander.stop()
	for _, head := range f.requests() {
		if head.URI != podsURI+"?limit=1" {
			t.Fatalf("reached the API server: %v", head)
		}
	}
}

// TestContinuation checks that edge closes a connection whose header block does not end, and keeps
// no part of the header block in memory (CVE-2023-45288).
func TestContinuation(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	f := startFlooded(t)
	for name, field := range map[string]func(i int) hpack.HeaderField{
		"long fields": func(i int) hpack.HeaderField {
			return hpack.HeaderField{Name: fmt.Sprintf("x-more-%d", i), Value: strings.Repeat("m", 4<<10), Sensitive: true}
		},
		"short fields": func(i int) hpack.HeaderField { return hpack.HeaderField{Name: "a", Value: "", Sensitive: true} },
		"cookies":      func(i int) hpack.HeaderField { return hpack.HeaderField{Name: "cookie", Value: fmt.Sprintf("c=%d", i)} },
	} {
		ended := f.flood(t, name, true, func(c *framed, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head("GET", podsURI), EndStream: true})
			}
			c.block.Reset()
			for range 16 {
				c.fields.WriteField(field(i))
				if c.block.Len() > 4<<10 {
					break
				}
			}
			return c.WriteContinuation(1, false, c.block.Bytes())
		})
		if ended != floodConnections {
			t.Errorf("%s: edge ended %d connections of %d", name, ended, floodConnections)
		}
	}
	f.end(t)
}

// TestSettings checks floods of SETTINGS and PING frames, which edge must answer: from clients that
// read the answers, and from clients that do not. It also checks a flood of WINDOW_UPDATE frames,
// which edge need not answer (CVE-2019-9512, CVE-2019-9515).
func TestSettings(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	f := startFlooded(t)
	frames := map[string]func(c *framed, i int) error{
		"SETTINGS": func(c *framed, i int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(i) << 12})
		},
		"PING": func(c *framed, i int) error { return c.WritePing(false, [8]byte{byte(i)}) },
	}
	for name, pump := range frames {
		f.flood(t, name, true, pump)
	}
	// A server may answer many SETTINGS frames with one acknowledgement, but must answer each PING.
	// So the answers to PING queue up in edge for a client that does not read.
	if ended := f.flood(t, "PING, not listening", false, frames["PING"]); ended != floodConnections {
		t.Errorf("edge ended %d connections of %d, whose clients take no answer", ended, floodConnections)
	}
	f.flood(t, "WINDOW_UPDATE", true, func(c *framed, i int) error { return c.WriteWindowUpdate(0, 1) })
	f.end(t)
}
