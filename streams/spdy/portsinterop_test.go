package spdy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	cri "k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/streaming/pkg/httpstream"

	"edge/streams"
	"edge/streams/spdy"
)

// ports is a test handler for the connections to each port of the pod.
type ports func(port int32, stream io.ReadWriteCloser) error

func (p ports) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	return p(port, stream)
}

// A portsLeg is the client's end of a port-forward session with the container runtime's server.
type portsLeg struct {
	*leg
	table  spdy.Table
	source *spdy.PortsSource
	sink   *spdy.PortsSink
}

// newPortsLeg connects to the container runtime's server. No stream is open yet.
func newPortsLeg(t *testing.T, pod ports) *portsLeg {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cri.ServePortForward(w, r, pod, "pod", "uid", nil, time.Minute, 10*time.Second, []string{spdy.PortForwardV1})
	}))
	t.Cleanup(server.Close)
	conn := must(net.Dial("tcp", server.Listener.Addr().String()))
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // if the server hangs, the test fails
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", spdy.Protocol, httpstream.HeaderProtocolVersion, spdy.PortForwardV1)
	in := bufio.NewReader(conn)
	if answer := must(http.ReadResponse(in, nil)); answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer.Status)
	}
	l := &portsLeg{leg: &leg{conn: conn, in: in}}
	l.source = spdy.NewPortsSource(streams.NewReader(in, nil), l, &l.table)
	l.sink = spdy.NewPortsSink(l, &l.table)
	return l
}

// say writes the bytes b on the data stream of connection n, in frames of at most MaxData.
func (l *portsLeg) say(n int, b []byte) {
	data, _ := connection(n)
	for ; len(b) > 0; b = b[min(len(b), streams.MaxData):] {
		l.sink.Write(roomy(streams.Data, data, string(b[:min(len(b), streams.MaxData)])))
	}
	l.sink.Flush()
}

// A heard records what the server has sent on one port-forward connection.
type heard struct {
	accepts      int
	data, reason string
	end          [2]streams.Kind // how the data stream and the error stream ended
}

// hear reads frames of the server until the function enough returns true.
func (l *portsLeg) hear(t *testing.T, heard []heard, enough func() bool) {
	t.Helper()
	for !enough() {
		f, err := l.source.Next()
		if err != nil {
			t.Fatalf("%v after %.500s", err, fmt.Sprint(heard))
		}
		n, isErr, ok := streams.PortOf(f.Stream.ID)
		if !ok || n >= len(heard) {
			t.Fatalf("%s: of no connection", show(f))
		}
		h, side := &heard[n], 0
		if isErr {
			side = 1
		}
		switch f.Kind {
		case streams.Accept:
			h.accepts++
		case streams.Data:
			if isErr {
				h.reason += string(f.Payload())
			} else {
				h.data += string(f.Payload())
			}
		default:
			h.end[side] = f.Kind
		}
	}
}

// TestPortsInterop checks that the container runtime's server accepts the opening of all streams
// and the first data in one write, and keeps the order of each stream. Connections that the pod
// refuses end with the reason, while the accepted connections continue.
func TestPortsInterop(t *testing.T) {
	const most, each = 128, 2000
	l := newPortsLeg(t, func(port int32, stream io.ReadWriteCloser) error {
		switch port % 3 {
		case 0:
			return errors.New("connection refused")
		case 1: // the pod reads all data, sends it back and ends the connection
			b := make([]byte, each)
			io.ReadFull(stream, b)
			stream.Write(b)
			return nil
		}
		return echo(stream)
	})
	var all wrote
	var want [most][]byte
	numbers := make([]uint16, most)
	for n := range numbers {
		numbers[n] = uint16(30000 + n)
		for i := 0; len(want[n]) < each; i++ {
			want[n] = fmt.Appendf(want[n], "%d: %d\n", n, i)
		}
		want[n] = want[n][:each]
	}
	if err := spdy.OpenPorts(&all, &l.table, numbers); err != nil {
		t.Fatal(err)
	}
	early := spdy.NewRelaySink(&all)
	for at := 0; at < each; at += 100 {
		for n := range numbers {
			data, _ := connection(n)
			early.Write(roomy(streams.Data, data, string(want[n][at:at+100])))
		}
	}
	early.Flush()
	must(l.conn.Write(all.bytes))

	got := make([]heard, most)
	l.hear(t, got, func() bool {
		for n := range got {
			if n%3 == 2 && len(got[n].data) < each || n%3 != 2 && (got[n].end[0] == 0 || got[n].end[1] == 0) {
				return false
			}
		}
		return true
	})
	if open := l.table.Len(); open != 2*(most/3) {
		t.Errorf("%d streams are open", open)
	}
	more := bytes.Repeat([]byte("still here "), 10_000)
	for n := 2; n < most; n += 3 {
		l.say(n, more)
		want[n] = append(want[n], more...)
		l.hear(t, got, func() bool { return len(got[n].data) >= len(want[n]) })
		data, _ := connection(n)
		l.sink.Write(roomy(streams.HalfClose, data, ""))
		l.sink.Flush()
	}
	l.hear(t, got, func() bool { return l.table.Len() == 0 })
	for n := range got {
		w := heard{accepts: 2, data: string(want[n]), end: [2]streams.Kind{streams.HalfClose, streams.HalfClose}}
		if n%3 == 0 {
			w = heard{
				accepts: 2, reason: fmt.Sprintf("error forwarding port %d to pod pod, uid uid: connection refused", 30000+n),
				end: [2]streams.Kind{streams.Reset, streams.Reset},
			}
		}
		if got[n] != w {
			t.Errorf("connection %d: %.300q, want %.300q", n, fmt.Sprint(got[n]), fmt.Sprint(w))
		}
	}
}

// TestPortsEnded checks that a client that sends on an ended connection does not block other
// connections. Connections 0 and 5 share one of the goroutines with which moby/spdystream handles
// frames.
func TestPortsEnded(t *testing.T) {
	l := newPortsLeg(t, func(port int32, stream io.ReadWriteCloser) error {
		if port == 1 {
			return nil
		}
		return echo(stream)
	})
	if err := spdy.OpenPorts(l, &l.table, []uint16{1, 2, 3, 4, 5, 6}); err != nil {
		t.Fatal(err)
	}
	got := make([]heard, 6)
	l.hear(t, got, func() bool { return got[0].end[0] != 0 })
	for range 100 {
		l.say(0, []byte("anybody there?"))
	}
	l.say(5, []byte("hello"))
	l.hear(t, got, func() bool { return got[5].data == "hello" })
}
