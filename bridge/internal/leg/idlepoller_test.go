//go:build linux

package leg

import (
	"net"
	"sync"
	"testing"
	"time"
)

// TestParking checks after which events an IdlePoller calls the function wake of a parked
// connection, and that it calls wake only once.
func TestParking(t *testing.T) {
	for _, wakes := range []struct {
		name string
		by   func(c *pollConn, peer *net.TCPConn, p *IdlePoller)
	}{
		{"bytes", func(_ *pollConn, peer *net.TCPConn, _ *IdlePoller) { peer.Write([]byte("x")) }},
		{"the end", func(_ *pollConn, peer *net.TCPConn, _ *IdlePoller) { peer.CloseWrite() }},
		{"a reset", func(_ *pollConn, peer *net.TCPConn, _ *IdlePoller) { peer.SetLinger(0); peer.Close() }},
		{"a close", func(c *pollConn, _ *net.TCPConn, _ *IdlePoller) { c.Close() }},
		{"a read deadline", func(c *pollConn, _ *net.TCPConn, _ *IdlePoller) { c.SetReadDeadline(time.Now().Add(time.Hour)) }},
		{"a deadline", func(c *pollConn, _ *net.TCPConn, _ *IdlePoller) { c.SetDeadline(time.Now().Add(time.Hour)) }},
		{"the poller's close", func(_ *pollConn, _ *net.TCPConn, p *IdlePoller) { p.Close() }},
	} {
		t.Run(wakes.name, func(t *testing.T) {
			var p IdlePoller
			defer p.Close()
			c, peer := loopback(t)
			woken := make(chan struct{}, 2)
			if !c.park(&p, func() { woken <- struct{}{} }) {
				t.Fatal("the connection was not parked")
			}
			wakes.by(c, peer, &p)
			<-woken
			c.Close()
			p.Close()
			if c.park(&p, func() { woken <- struct{}{} }) {
				t.Error("a connection that is closed was parked")
			}
			select {
			case <-woken:
				t.Error("the connection was woken twice")
			default:
			}
		})
	}
}

// TestParkingBesideADeadline checks that a connection with a read deadline is not parked in an
// IdlePoller, which would not notice that the deadline passes.
func TestParkingBesideADeadline(t *testing.T) {
	var p IdlePoller
	defer p.Close()
	c, _ := loopback(t)
	c.SetReadDeadline(time.Now().Add(time.Hour))
	if c.park(&p, func() {}) {
		t.Error("a connection with a deadline was parked")
	}
	c.SetReadDeadline(time.Time{})
	if !c.park(&p, func() {}) {
		t.Error("a connection without a deadline was not parked")
	}
}

// TestParkingMany checks many connections that are parked in an IdlePoller. wake must be called
// each time for the connection that has bytes, although connections open and close and the kernel
// reuses file descriptors.
func TestParkingMany(t *testing.T) {
	const connections, times, rounds = 2 * maxEvents, 4, 3
	var p IdlePoller
	defer p.Close()
	for range rounds {
		var all sync.WaitGroup
		for range connections {
			c, peer := loopback(t)
			all.Go(func() {
				defer c.Close()
				defer peer.Close()
				for i := range times {
					woken := make(chan struct{})
					if !c.park(&p, func() { close(woken) }) {
						t.Error("a connection was not parked")
						return
					}
					peer.Write([]byte{byte(i)})
					<-woken
					var b [1]byte
					if n, err := c.Read(b[:]); n != 1 || b[0] != byte(i) || err != nil {
						t.Errorf("woken for byte %d, the connection read %d, %v", i, b[:n], err)
					}
				}
			})
		}
		all.Wait()
		if n := len(p.parked); n != 0 {
			t.Errorf("%d connections are still in the poller", n)
		}
	}
}
