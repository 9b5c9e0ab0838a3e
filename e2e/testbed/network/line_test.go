package network

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"

	"edge/e2e/testbed/run"
)

// TestLine checks the TCP relay of StartLine. It must not be faster than its delay and rate, and
// must lose no data. The end of one direction must not end the other direction.
func TestLine(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			io.Copy(struct{ io.Writer }{c}, c)
			io.WriteString(c, "after the client's end")
			c.Close()
		}
	}()
	n := Network{&run.Run{}}
	line, err := n.StartLine(listener.Addr().String(), LineOptions{RoundTrip: 50 * time.Millisecond, Rate: 4_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer n.End()
	conn, err := net.Dial("tcp", line.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	for _, exchange := range []struct {
		bytes int
		least time.Duration
	}{
		{1, 50 * time.Millisecond},
		{2_000_000, 500 * time.Millisecond},
	} {
		sent, got := make([]byte, exchange.bytes), make([]byte, exchange.bytes)
		rand.Read(sent)
		start := time.Now()
		go conn.Write(sent)
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < exchange.least {
			t.Errorf("%d bytes took %v, want at least %v", exchange.bytes, took, exchange.least)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back changed", exchange.bytes)
		}
	}
	conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "after the client's end" {
		t.Errorf("after the client's end: %q, %v", rest, err)
	}
}
