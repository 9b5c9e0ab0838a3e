package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"edge/e2e/testbed"
)

// flood pumps frames into connections of its own until the server ends each or mostWritten is reached, while a bystander's requests
// are served, and looks at the memory that it costs. It returns how many connections the server has ended.
func flood(t *testing.T, a attacked, drain bool, pump func(c *framed, i int) error) (ended int) {
	t.Helper()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	b := stand(t, a.as(tokens["alice"]))
	before := settled(t, a.Edge, b)
	var mu sync.Mutex
	var running, draining sync.WaitGroup
	for range floodConnections {
		c := dialFrames(t, a.as(""))
		c.SetDeadline(time.Now().Add(floodTime))
		if drain {
			draining.Go(func() { io.Copy(io.Discard, c.Conn) })
		}
		running.Go(func() {
			defer c.Close()
			for i := range floodFrames {
				if err := pump(c, i); err != nil {
					mu.Lock()
					ended++
					mu.Unlock()
					return
				}
			}
		})
	}
	most, over := 0, make(chan struct{})
	go func() {
		running.Wait()
		close(over)
	}()
	for looking := true; looking; {
		b.await(t, 1)
		most = max(most, resident(t, a.Edge))
		select {
		case <-over:
			looking = false
		default:
		}
	}
	draining.Wait()
	b.await(t, 100)
	most = max(most, resident(t, a.Edge))
	served := b.served.Load()
	b.stop()
	if most > before+mostGrowth {
		t.Errorf("%d KiB more resident memory, want at most %d", (most-before)>>10, mostGrowth>>10)
	}
	t.Logf("%d of %d connections ended by edge; %d KiB more memory; the bystander was served %d times", ended, floodConnections, (most-before)>>10, served)
	return ended
}

// What an attacker does: on so many connections, so many frames each.
const (
	floodConnections = 16
	floodFrames      = 50_000
	floodTime        = 20 * time.Second
)

// TestContinuation: a header block that goes on and on ends its connection; nothing of it is kept (CVE-2023-45288).
func TestContinuation(t *testing.T) {
	t.Parallel()
	a := attack(t, testbed.New)
	ended := flood(t, a, true, func(c *framed, i int) error {
		if i == 0 {
			return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head("GET", podsURI), EndStream: true})
		}
		return c.WriteContinuation(1, false, c.more(i))
	})
	if ended != floodConnections {
		t.Errorf("edge ended %d connections of %d", ended, floodConnections)
	}
	checkOnlyBystander(t, a)
}

// more is a piece of a header block: one field of some 4 KiB.
func (c *framed) more(i int) []byte {
	c.block.Reset()
	c.fields.WriteField(hpackField(fmt.Sprintf("x-more-%d", i), strings.Repeat("m", 4<<10)))
	return c.block.Bytes()
}

// TestSettings: SETTINGS and PING, each of which wants an answer, from a client that reads none and from one that does.
func TestSettings(t *testing.T) {
	t.Parallel()
	for name, pump := range map[string]func(c *framed, i int) error{
		"SETTINGS": func(c *framed, i int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		},
		"SETTINGS of the table": func(c *framed, i int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(i) << 12})
		},
		"PING": func(c *framed, i int) error { return c.WritePing(false, [8]byte{byte(i)}) },
		"empty DATA, PRIORITY, WINDOW_UPDATE": func(c *framed, i int) error {
			return errors.Join(c.WritePriority(uint32(2*i+1), http2.PriorityParam{}), c.WriteWindowUpdate(0, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := attack(t, testbed.New)
			flood(t, a, true, pump)
			if ended := flood(t, a, false, pump); ended != floodConnections && name != "empty DATA, PRIORITY, WINDOW_UPDATE" {
				t.Errorf("edge ended %d connections of %d, whose clients take no answer", ended, floodConnections)
			}
			checkOnlyBystander(t, a)
		})
	}
}

func checkOnlyBystander(t *testing.T, a attacked) {
	t.Helper()
	for _, head := range a.requests() {
		if head.URI != podsURI+"?limit=1" {
			t.Fatalf("reached the API server: %v", head)
		}
	}
}
