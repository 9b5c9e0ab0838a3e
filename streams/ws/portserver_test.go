package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-streaming/pkg/streaming/portforward"

	"edge/streams"
	"edge/streams/ws"
)

// pod is the function that serves a connection to a port of the test's pod.
type pod func(port int32, stream io.ReadWriteCloser) error

func (p pod) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	return p(port, stream)
}

// requested parses the query of a request as the API server and the kubelet do together: the API
// server reads "ports" and sends the values to the kubelet as "port".
func requested(r *http.Request) (*cri.V4Options, error) {
	var ports []int32
	values := r.URL.Query()["ports"]
	if err := metav1.Convert_Slice_string_To_Slice_int32(&values, &ports, nil); err != nil {
		return nil, err
	}
	var query string
	if len(ports) > 0 {
		query = "port=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ","), "[]")
	}
	return cri.NewV4Options(&http.Request{Header: r.Header, URL: &url.URL{RawQuery: query}})
}

// runtimePorts starts the container runtime's port-forward server, which parses the query with the
// function requested. The server runs until the end of the test.
func runtimePorts(t testing.TB, p pod) (addr string) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		options, err := requested(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		cri.ServePortForward(w, r, p, "pod", "uid", options, time.Minute, time.Minute, cri.SupportedProtocols)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// A rawClient is a connection to a server after the WebSocket handshake. The test itself writes and
// reads WebSocket frames on it.
type rawClient struct {
	net.Conn
	r *bufio.Reader
}

func (c *rawClient) Read(b []byte) (int, error) { return c.r.Read(b) }

// handshake does a WebSocket handshake with a subprotocol ("": none) and returns the connection and
// the server's answer.
func handshake(t testing.TB, addr, query, subprotocol string) (*rawClient, *http.Response) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET /?%s HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", query)
	if subprotocol != "" {
		fmt.Fprintf(conn, "Sec-WebSocket-Protocol: %s\r\n", subprotocol)
	}
	io.WriteString(conn, "\r\n")
	c := &rawClient{conn, bufio.NewReader(conn)}
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, answer
}

// portsOf returns the query for ports.
func portsOf(ports []uint16) string {
	var list []string
	for _, p := range ports {
		list = append(list, fmt.Sprint(p))
	}
	return url.Values{"ports": {strings.Join(list, ",")}}.Encode()
}

// next reads the server's next frame and returns it as text.
func (c *rawClient) next(t testing.TB) string {
	t.Helper()
	b := make([]byte, 2)
	if _, err := io.ReadFull(c, b); err != nil {
		return err.Error()
	}
	if b[1] > 125 {
		t.Fatalf("a frame of %x", b)
	}
	payload := make([]byte, b[1])
	if _, err := io.ReadFull(c, payload); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x %q", b[0], payload)
}

// TestPortSubprotocols checks which subprotocols the container runtime's server accepts for
// port-forward. The server chooses the first of the client's subprotocols that it supports.
func TestPortSubprotocols(t *testing.T) {
	addr := runtimePorts(t, func(int32, io.ReadWriteCloser) error { return nil })
	for offered, chosen := range map[string]string{
		"":                                     "",
		ws.V4:                                  ws.V4,
		ws.V4Base64:                            ws.V4Base64,
		"v5.channel.k8s.io, v4.channel.k8s.io": ws.V4,
		"v4.base64.channel.k8s.io,v4.channel.k8s.io": ws.V4Base64,
	} {
		_, answer := handshake(t, addr, "ports=80", offered)
		if got := answer.Header.Get("Sec-WebSocket-Protocol"); answer.StatusCode != http.StatusSwitchingProtocols || got != chosen {
			t.Errorf("%q: %s, %q", offered, answer.Status, got)
		}
	}
	for _, offered := range []string{"channel.k8s.io", "base64.channel.k8s.io", ws.V5, "portforward.k8s.io", ws.TunnelPortForward} {
		if _, answer := handshake(t, addr, "ports=80", offered); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %s", offered, answer.Status)
		}
	}
}

// TestParsePorts checks that ParsePorts accepts the same queries as Kubernetes does, but refuses
// too many ports.
func TestParsePorts(t *testing.T) {
	addr := runtimePorts(t, func(int32, io.ReadWriteCloser) error { return nil })
	most := strings.Repeat("80,", ws.MaxPorts-1) + "80"
	most64 := strings.Repeat("80,", ws.MaxPortsBase64-1) + "80"
	for _, c := range []struct {
		query string
		want  []uint16 // expected ports; nil: the query is refused
	}{
		{"ports=80", []uint16{80}},
		{"ports=80&ports=443", []uint16{80, 443}},
		{"ports=80,443", []uint16{80, 443}},
		{"ports=1,65535&ports=2,3", []uint16{1, 65535, 2, 3}},
		{"ports=443&ports=80&ports=443", []uint16{443, 80, 443}},
		{"ports=080", []uint16{80}},
		{"ports=" + most64, slices.Repeat([]uint16{80}, ws.MaxPortsBase64)},
		{"ports=" + most, slices.Repeat([]uint16{80}, ws.MaxPorts)},
		{"", nil},
		{"port=80", nil},
		{"ports=", nil},
		{"ports=80&ports=", nil},
		{"ports=,", nil},
		{"ports=80,", nil},
		{"ports=0", nil},
		{"ports=65536", nil},
		{"ports=-1", nil},
		{"ports=%2B80", nil},
		{"ports=http", nil},
		{"ports=80%20", nil},
		{"ports=80:80", nil},
		{"ports=0x50", nil},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ws.ParsePorts(q["ports"], ws.V4Channel)
		if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v", c.query, got, err)
		}
		if _, err := ws.ParsePorts(q["ports"], ws.V4Base64Channel); (err != nil) != (c.want == nil || len(c.want) > ws.MaxPortsBase64) {
			t.Errorf("%s, base64: %v", c.query, err)
		}
		want := http.StatusSwitchingProtocols
		if c.want == nil {
			want = http.StatusBadRequest
		}
		if _, answer := handshake(t, addr, c.query, ws.V4); answer.StatusCode != want {
			t.Errorf("%s: Kubernetes says %s", c.query, answer.Status)
		}
	}
	for d, list := range map[ws.Dialect]string{ws.V1Channel: most, ws.V4Channel: most, ws.V4Base64Channel: most64} {
		if _, err := ws.ParsePorts([]string{list, "80"}, d); err == nil {
			t.Errorf("one port too many, %v", d)
		}
	}
}

// FuzzPorts checks that ParsePorts and the parser of Kubernetes return the same ports for a query.
func FuzzPorts(f *testing.F) {
	for _, seed := range []string{"80", "80,443", "80;443", "0", "65536", "", ",", "80,;,80", "+1", "1_000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values := strings.Split(s, ";")
		got, err := ws.ParsePorts(values, ws.V4Channel)
		r := httptest.NewRequest("GET", "/?"+url.Values{"ports": values}.Encode(), nil)
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
		options, theirs := requested(r)
		if theirs != nil {
			if err == nil {
				t.Fatalf("%v; Kubernetes says %v", got, theirs)
			}
			return
		}
		if err != nil && len(options.Ports) <= ws.MaxPorts || err == nil && len(options.Ports) != len(got) {
			t.Fatalf("%v, %v; Kubernetes has %d", got, err, len(options.Ports))
		}
		for n, p := range got {
			if options.Ports[n] != int32(p) {
				t.Fatalf("%v; Kubernetes has %v", got, options.Ports)
			}
		}
	})
}

// portSession returns the bytes of the same session as the container runtime's server writes them
// and as PortSink writes them. The ports send their data one after the other.
func portSession(t *testing.T, ports []uint16, subprotocol string, d ws.Dialect) (theirs, ours []byte) {
	text := func(n int) string { // returns at least streams.Small bytes, which PortSink writes at once, in one piece
		return strings.Repeat(fmt.Sprintf("%d.", n), 2500)[:streams.Small+n]
	}
	refusal := func(p uint16) string {
		return fmt.Sprintf("error forwarding port %d to pod pod, uid uid: connection refused", p)
	}
	turns := make([]chan bool, len(ports)+1)
	for n := range turns {
		turns[n] = make(chan bool, 1)
	}
	addr := runtimePorts(t, func(p int32, stream io.ReadWriteCloser) error {
		n := int(p) - int(ports[0])
		<-turns[n]
		// If the connection fails, the runtime sends the error text only after this function has
		// returned. So the client's loop below starts the next port when it has read the text.
		if n%3 == 1 {
			return errors.New("connection refused")
		}
		io.WriteString(stream, text(n))
		turns[n+1] <- true
		return nil
	})
	c, answer := handshake(t, addr, portsOf(ports), subprotocol)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer.Status)
	}

	w := &writes{}
	s := ws.NewPortSink(w, ports, d)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	turns[0] <- true
	for n, p := range ports {
		data, broken := streams.PortStreams(n)
		f := streams.Frame{Kind: streams.Data, Stream: data, Buf: []byte(text(n))}
		if n%3 == 1 {
			f.Stream, f.Buf = broken, []byte(refusal(p))
		}
		s.Write(f)
		s.Flush()
		s.Write(streams.Frame{Kind: streams.HalfClose, Stream: data})
		s.Write(streams.Frame{Kind: streams.HalfClose, Stream: broken})
		ours = bytes.Join(w.out, nil)
		got := make([]byte, len(ours)-len(theirs))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		theirs = append(theirs, got...)
		if n%3 == 1 {
			turns[n+1] <- true
		}
	}
	s.Write(streams.Frame{Kind: streams.Close, Code: streams.CloseNormal})
	ours = bytes.Join(w.out, nil)
	rest, _ := io.ReadAll(c)
	return append(theirs, rest...), ours
}

// TestPortSinkAsRuntime checks that PortSink writes the same bytes as the container runtime's
// server. No message announces the end of a single connection; when all connections have ended, the
// server sends Close 1000.
func TestPortSinkAsRuntime(t *testing.T) {
	for _, c := range []struct {
		subprotocol string
		d           ws.Dialect
		most        int
	}{
		{"", ws.V1Channel, 3},
		{ws.V4, ws.V4Channel, ws.MaxPorts},
		{ws.V4Base64, ws.V4Base64Channel, ws.MaxPortsBase64},
	} {
		for _, count := range []int{1, 2, c.most} {
			ports := make([]uint16, count)
			for n := range ports {
				ports[n] = uint16(0x1ffe + n)
			}
			theirs, ours := portSession(t, ports, c.subprotocol, c.d)
			if !bytes.Equal(theirs, ours) {
				at := 0
				for at < min(len(theirs), len(ours)) && theirs[at] == ours[at] {
					at++
				}
				t.Errorf("%q, %d ports, at byte %d of %d: ours %.60q, theirs %.60q", c.subprotocol, count, at, len(theirs), ours[at:], theirs[at:])
			}
		}
	}
}

// TestPortsBase64Most checks why MaxPortsBase64 is not larger: for channel 80 wsstream (the
// WebSocket package of Kubernetes) writes two bytes, and would read the first byte as channel 146.
func TestPortsBase64Most(t *testing.T) {
	addr := runtimePorts(t, func(int32, io.ReadWriteCloser) error { return nil })
	ports := make([]uint16, ws.MaxPortsBase64+1)
	for n := range ports {
		ports[n] = uint16(n + 1)
	}
	c, _ := handshake(t, addr, portsOf(ports), ws.V4Base64)
	for range 2 * ws.MaxPortsBase64 {
		c.next(t)
	}
	if got, want := c.next(t), fmt.Sprintf("81 %q", "\xc2\x80"+base64.StdEncoding.EncodeToString([]byte{ws.MaxPortsBase64 + 1, 0})); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestPortEnds checks what a client receives from the container runtime's server and from
// relayedPorts when a connection ends, and when the client closes.
func TestPortEnds(t *testing.T) {
	for name, server := range portServers {
		t.Run(name, func(t *testing.T) { testPortEnds(t, server) })
	}
}

func testPortEnds(t *testing.T, server func(testing.TB, pod) string) {
	begun, release := make(chan bool, 1), make(chan bool)
	heard := make(chan string, 1)
	start := func() *rawClient {
		addr := server(t, func(p int32, stream io.ReadWriteCloser) error {
			switch p {
			case 1:
				// Like containerd, leave a goroutine that reads the stream. moby/spdystream waits
				// for a reader even after the end of the connection.
				go io.Copy(io.Discard, stream)
				return nil
			case 2:
				return errors.New("no")
			}
			begun <- true
			b, err := io.ReadAll(stream)
			heard <- fmt.Sprintf("%q, %v", b, err)
			<-release
			fmt.Fprint(stream, "late")
			return nil
		})
		c, _ := handshake(t, addr, "ports=1,2,3", ws.V4)
		var got []string
		for range 7 {
			got = append(got, c.next(t))
		}
		// Wait until the pod has accepted the connection to port 3: over SPDY, a Close before that
		// would prevent the connection.
		<-begun
		slices.Sort(got)
		equal(t, got, []string{
			`82 "\x00\x01\x00"`, `82 "\x01\x01\x00"`, `82 "\x02\x02\x00"`,
			`82 "\x03\x02\x00"`, `82 "\x03error forwarding port 2 to pod pod, uid uid: no"`,
			`82 "\x04\x03\x00"`, `82 "\x05\x03\x00"`,
		})
		return c
	}

	// The server ignores data for connections that have ended, data on error channels, and [255,
	// ch]: there is no half-close. Other connections continue.
	c := start()
	c.Write(join(
		message("\x00to nobody"), message("\x02to nobody"), message("\x01to nobody"), message("\xff\x04"),
		message("\x04hello"), frame(fin|opPing, ""), frame(fin|opClose, "\x03\xe9"),
	))
	// The server answers any Close with 1000 at once and ends the connection, so what the pod sends
	// later is lost. The pod reads the end of the client's data.
	equal(t, []string{c.next(t), c.next(t), c.next(t)}, []string{`8a ""`, `88 "\x03\xe8"`, "EOF"})
	if got := <-heard; got != `"hello", <nil>` {
		t.Errorf("the pod heard %s", got)
	}
	release <- true

	// If the client ends the TCP connection without a Close, the server also answers with Close 1000
	// and ends the connection.
	c = start()
	c.Conn.(*net.TCPConn).CloseWrite()
	equal(t, []string{c.next(t), c.next(t)}, []string{`88 "\x03\xe8"`, "EOF"})
	<-heard
	release <- true
}

// TestPortSourceAsRuntime checks that a client's messages have the same meaning for PortSource as
// for the container runtime's server, as the package doc states. The client sends a probe message
// after each input.
func TestPortSourceAsRuntime(t *testing.T) {
	for _, d := range portDialects[1:] {
		for name, in := range map[string][]byte{
			"nothing":           nil,
			"data":              join(onPort(d, 0, "a"), onPort(d, 2, "b"), onPort(d, 0, "c")),
			"no payload":        join(message(""), onPort(d, 0, ""), onPort(d, 2, "")),
			"error channels":    join(onPort(d, 1, "a"), onPort(d, 3, "b")),
			"unknown channels":  join(onPort(d, 4, "a"), onPort(d, 5, "b"), onPort(d, 79, "c"), onPort(d, 254, "d")),
			"half-close":        join(onPort(d, 255, "\x00"), message("\xff\x00"), message("\xff\x02")),
			"binary":            frame(fin|opBinary, string(encoded(d, 2, []byte("b")))),
			"text":              frame(fin|opText, string(encoded(d, 2, []byte("b")))),
			"text, not UTF-8":   frame(fin|opText, string(encoded(d, 2, []byte("\xc3")))),
			"other characters":  frame(fin|opText, "0YQ==\r\n"),
			"ping and pong":     join(frame(fin|opPing, "p"), frame(fin|opPong, "")),
			"a large message":   onPort(d, 2, strings.Repeat("large", 20_000)),
			"an unmasked frame": []byte("\x82\x02\x00a"),
		} {
			in = join(in, onPort(d, 0, "probe"), onPort(d, 2, "probe"), frame(fin|opClose, "\x03\xe8"))
			type heard struct {
				port int32
				b    string
			}
			heardc := make(chan heard, 2)
			addr := runtimePorts(t, func(p int32, stream io.ReadWriteCloser) error {
				b, err := io.ReadAll(stream)
				heardc <- heard{p, string(b)}
				return err
			})
			c, _ := handshake(t, addr, "ports=1,2", d.String())
			// Read the server's first four messages (one per channel) before sending: the server could
			// lose input that arrives earlier.
			for range 4 {
				c.next(t)
			}
			c.Write(in)
			var want, got [2]string
			for range want {
				h := <-heardc
				want[h.port-1] = h.b
			}
			for _, l := range readPorts(t, split(in), 2, d).lines {
				var n int
				var b string
				if found, _ := fmt.Sscanf(l, "data %d %q", &n, &b); found == 2 {
					got[n] += b
				}
			}
			if got != want {
				t.Errorf("%s, %v: %.100q, to the runtime %.100q", name, d, got, want)
			}
		}
	}
}
