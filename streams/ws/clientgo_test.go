package ws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"edge/streams"
	"edge/streams/ws"
)

// once is client-go's TerminalSizeQueue with a single size.
type once struct{ size *remotecommand.TerminalSize }

func (o *once) Next() *remotecommand.TerminalSize {
	s := o.size
	o.size = nil
	return s
}

// TestClientGoExec checks that client-go's executor gets the output and the exit code of a command.
func TestClientGoExec(t *testing.T) {
	for _, d := range []ws.Dialect{ws.V4Channel, ws.V5Channel} {
		t.Run(d.String(), func(t *testing.T) {
			addr := serve(t, d.String(), echo(t, d))
			e, err := remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{Host: "http://" + addr}, "GET", "http://"+addr, d.String())
			if err != nil {
				t.Fatal(err)
			}
			stdin := random(1 << 20)
			if d == ws.V4Channel { // in v4 a client cannot announce the end of stdin
				stdin = append(stdin, "exit"...)
			}
			var stdout, stderr bytes.Buffer
			err = e.StreamWithContext(context.Background(), remotecommand.StreamOptions{
				Stdin: bytes.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
			})
			var code exec.CodeExitError
			if !errors.As(err, &code) || code.Code != 7 {
				t.Errorf("ended with %v, want exit code 7", err)
			}
			if !bytes.Equal(stdout.Bytes(), stdin) || stderr.Len() != 0 {
				t.Errorf("%d bytes of stdin came back as %d, or different", len(stdin), stdout.Len())
			}
		})
	}
}

// TestClientGoResize checks that the server receives client-go's terminal size.
func TestClientGoResize(t *testing.T) {
	sizes := make(chan string, 1)
	addr := serve(t, ws.V5, func(c net.Conn) {
		w := &wire{c: c}
		sink := ws.NewExecDownstreamSink(w, ws.V5Channel)
		sink.Start(streams.Stdout)
		r := streams.NewReader(c, nil)
		defer r.Close()
		source := ws.NewExecDownstreamSource(r, w, ws.V5Channel)
		for {
			f, err := source.Next()
			if err != nil {
				return
			}
			if f.Kind == streams.Resize {
				sizes <- string(f.Payload())
				sink.Write(say(streams.Status, streams.Error, `{"status":"Success"}`))
				sink.Write(closing(streams.CloseNormal))
			}
		}
	})
	e, err := remotecommand.NewWebSocketExecutor(&rest.Config{Host: "http://" + addr}, "GET", "http://"+addr)
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	if err := e.StreamWithContext(context.Background(), remotecommand.StreamOptions{
		Stdin: bytes.NewReader(nil), Stdout: &stdout, Tty: true, TerminalSizeQueue: &once{&remotecommand.TerminalSize{Width: 80, Height: 24}},
	}); err != nil {
		t.Error(err)
	}
	if got := <-sizes; got != size {
		t.Errorf("size %q, want %q", got, size)
	}
}

// tunnelConn is a connection whose bytes go through a Tunnel.
type tunnelConn struct {
	net.Conn
	*ws.Tunnel
}

func (c *tunnelConn) Read(b []byte) (int, error) { return c.Tunnel.Read(b) }

func (c *tunnelConn) Write(b []byte) (int, error) {
	return len(b), c.Tunnel.WriteRoom(append(make([]byte, streams.Headroom), b...), streams.Headroom)
}

// TestClientGoTunnel checks that client-go's port-forward dialer can open SPDY streams to
// moby/spdystream through a Tunnel.
func TestClientGoTunnel(t *testing.T) {
	addr := serve(t, ws.TunnelPortForward, func(c net.Conn) {
		w := &wire{c: c}
		conn, err := spdy.NewServerConnection(&tunnelConn{c, ws.NewTunnel(c, w, w)}, func(s httpstream.Stream, replied <-chan struct{}) error {
			go func() {
				<-replied
				io.Copy(s, s)
				s.Close()
			}()
			return nil
		})
		if err != nil {
			t.Error(err)
			return
		}
		<-conn.CloseChan()
	})
	u := &url.URL{Scheme: "http", Host: addr}
	dialer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, &rest.Config{Host: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	conn, protocol, err := dialer.Dial("portforward.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if protocol != "portforward.k8s.io" {
		t.Errorf("protocol %q", protocol)
	}
	for range 3 {
		s, err := conn.CreateStream(http.Header{corev1.StreamType: {corev1.StreamTypeData}})
		if err != nil {
			t.Fatal(err)
		}
		want := random(300000)
		go func() {
			s.Write(want)
			s.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d, or different: %v", len(want), len(got), err)
		}
	}
	conn.Close()
	select {
	case <-conn.CloseChan():
	case <-time.After(10 * time.Second):
		t.Error("the connection does not end")
	}
}

// clientGoHears returns what client-go's v5 client reads from a server's bytes, and the error with
// which the client ends.
func clientGoHears(t *testing.T, in []byte) (stdout, stderr string, err error) {
	addr := serve(t, ws.V5, func(c net.Conn) {
		c.Write(in)
		io.Copy(io.Discard, c)
	})
	e, err := remotecommand.NewWebSocketExecutor(&rest.Config{Host: "http://" + addr}, "GET", "http://"+addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: bytes.NewReader(nil), Stdout: &out, Stderr: &errOut})
	return out.String(), errOut.String(), err
}

// TestAsClientGo checks that the messages of a server have the same meaning in this package as in
// client-go, except where the package doc states a difference.
func TestAsClientGo(t *testing.T) {
	end := join(server("\x01probe"), server("\x03"+failure), says(fin|opClose, "\x03\xe8"))
	for _, c := range []struct {
		name   string
		in     []byte
		unlike bool // true: client-go ends the session; this package does not
	}{
		{name: "nothing"},
		{name: "start", in: server("\x01")},
		{name: "start on error", in: server("\x03")},
		{name: "output", in: join(server("\x01a"), server("\x02b"), server("\x01c"))},
		{name: "fragments", in: join(says(opBinary, "\x01a"), says(opContinuation, "\x02b"), says(fin|opContinuation, "c"))},
		{name: "channel 0", in: server("\x00a")},
		{name: "channel 5", in: server("\x05a")},
		{name: "channel 255", in: join(server("\xff\x01"), server("\xff"), server("\xff\x01\x02"))},
		{name: "pings", in: join(says(fin|opPing, "a"), says(fin|opPong, ""))},
		{name: "empty message", in: server(""), unlike: true},
		{name: "text", in: says(fin|opText, "\x01a"), unlike: true},
	} {
		in := join(c.in, end)
		var want [2]string
		var err error
		want[0], want[1], err = clientGoHears(t, in)
		var code exec.CodeExitError
		if failed := !errors.As(err, &code) || code.Code != 7; failed != c.unlike {
			t.Errorf("%s: client-go ended with %v", c.name, err)
		}
		e := readServer(t, split(in), ws.V5Channel)
		var got [2]string
		status := ""
		for _, l := range e.lines {
			var s string
			if n, _ := fmt.Sscanf(l, "data stdout %q", &s); n == 1 {
				got[0] += s
			} else if n, _ := fmt.Sscanf(l, "data stderr %q", &s); n == 1 {
				got[1] += s
			} else {
				fmt.Sscanf(l, "status error %q", &status)
			}
		}
		if !c.unlike && got != want || status != failure || e.err != io.EOF {
			t.Errorf("%s: output %q, status %q, %v; client-go has %q", c.name, got, status, e.err, want)
		}
	}
}
