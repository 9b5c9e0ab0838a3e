package spdy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/moby/spdystream"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"edge/streams"
	"edge/streams/spdy"
)

// pair returns the two ends of a TCP connection, which is closed at the end of the test.
func pair(t *testing.T) (a, b net.Conn) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	a = must(net.Dial("tcp", l.Addr().String()))
	b = must(l.Accept())
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestEarlyStdin checks that the container runtime's server accepts all streams, stdin data and the
// half-close of stdin at once, before the server's first answer, and loses no byte.
func TestEarlyStdin(t *testing.T) {
	set := streams.Set{Stdin: true, Stdout: true}
	server := httptest.NewServer(runtimeServer(func(in io.Reader, out, _ io.WriteCloser, _ <-chan cri.TerminalSize) error {
		_, err := io.Copy(out, in)
		return err
	}, set, "v4.channel.k8s.io"))
	t.Cleanup(server.Close)
	for i := range 50 {
		conn := must(net.Dial("tcp", server.Listener.Addr().String()))
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: v4.channel.k8s.io\r\n\r\n", spdy.Protocol, httpstream.HeaderProtocolVersion)
		in := bufio.NewReader(conn)
		if answer := must(http.ReadResponse(in, nil)); answer.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(answer.Status)
		}
		l := &leg{conn: conn, in: in}
		sink := spdy.NewExecUpstreamSink(l, set)
		sink.Open()
		sink.Write(roomy(streams.Data, role(streams.Stdin), "one "))
		sink.Write(roomy(streams.Data, role(streams.Stdin), "two"))
		sink.Write(roomy(streams.HalfClose, role(streams.Stdin), ""))
		sink.Flush()
		source := spdy.NewExecUpstreamSource(streams.NewReader(in, nil), l, set)
		var out, status string
		for {
			f, err := source.Next()
			if err != nil {
				break
			}
			switch f.Kind {
			case streams.Data:
				out += string(f.Payload())
			case streams.Status:
				status = string(f.Payload())
			}
		}
		conn.Close()
		if out != "one two" || status != `{"status":"Success"}` {
			t.Fatalf("session %d: %q, %q", i, out, status)
		}
	}
}

// TestPingInterop checks that moby/spdystream answers edge's pings, and that edge answers the pings
// of moby/spdystream, in both roles.
func TestPingInterop(t *testing.T) {
	for _, server := range []bool{false, true} { // true: moby/spdystream is the server
		ours, theirs := pair(t)
		moby := must(spdystream.NewConnection(theirs, server))
		go moby.Serve(spdystream.NoOpStreamHandler)
		l := &leg{conn: ours, in: ours}
		var source streams.Source = spdy.NewExecDownstreamSource(streams.NewReader(ours, nil), l, all)
		ping := spdy.AppendPing(nil, 2)
		if server {
			source = spdy.NewExecUpstreamSource(streams.NewReader(ours, nil), l, all)
			ping = spdy.AppendPing(nil, 1)
		}
		must(ours.Write(ping))
		answer := make([]byte, len(ping))
		if _, err := io.ReadFull(ours, answer); err != nil || !bytes.Equal(answer, ping) {
			t.Errorf("server %v: the answer is %x, %v", server, answer, err)
		}
		ended := make(chan error, 1)
		go func() { ended <- last(source) }()
		if _, err := moby.Ping(); err != nil {
			t.Errorf("server %v: %v", server, err)
		}
		theirs.Close()
		if err := <-ended; err != io.EOF {
			t.Errorf("server %v: %v", server, err)
		}
	}
}
