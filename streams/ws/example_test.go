package ws_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/tools/portforward"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// peer stands for the peer of a connection: as Writer and Replier it prints what is sent to it.
type peer struct{}

func (peer) WriteRoom(b []byte, off int) error { fmt.Printf("sent %q\n", b[off:]); return nil }
func (peer) Pong(b []byte)                     { fmt.Printf("sent %q\n", b) }
func (peer) Reply(b []byte) error              { fmt.Printf("sent %q\n", b); return nil }

func ExampleExecDownstreamSource() {
	client := strings.NewReader("" +
		"\x82\x84\x00\x00\x00\x00\x00ls\n" + // stdin, with masking key 0
		"\x89\x80\x00\x00\x00\x00" + // ping
		"\x82\x82\x00\x00\x00\x00\xff\x00" + // the end of stdin
		"\x88\x82\x00\x00\x00\x00\x03\xe8") // Close 1000
	r := streams.NewReader(client, nil)
	defer r.Close()
	source := ws.NewExecDownstreamSource(r, peer{}, ws.V5Channel)
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		switch f.Kind {
		case streams.Data:
			fmt.Printf("stdin %q\n", f.Payload())
		case streams.HalfClose:
			fmt.Println("stdin ends")
		case streams.Close:
			fmt.Println("close", f.Code)
		}
	}
	// Output:
	// stdin "ls\n"
	// sent "\x8a\x00"
	// stdin ends
	// close 1000
}

func ExampleExecDownstreamSink() {
	sink := ws.NewExecDownstreamSink(peer{}, ws.V5Channel)
	sink.Start(streams.Stdout)
	for _, f := range []streams.Frame{
		{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdout}, Buf: []byte("a.txt\n")},
		{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdout}, Buf: []byte("b.txt\n")},
		{Kind: streams.Status, Stream: streams.Stream{Role: streams.Error}, Buf: []byte(`{"status":"Success"}`)},
		{Kind: streams.Close, Code: streams.CloseNormal},
	} {
		sink.Write(f)
	}
	// Output:
	// sent "\x82\x01\x01"
	// sent "\x82\r\x01a.txt\nb.txt\n"
	// sent "\x82\x15\x03{\"status\":\"Success\"}"
	// sent "\x88\x02\x03\xe8"
}

func ExampleExecUpstreamSource() {
	server := strings.NewReader("" +
		"\x82\x01\x01" + // start signal
		"\x82\x07\x01a.txt\n" + // stdout
		"\x82\x15\x03{\"status\":\"Success\"}" + // Status
		"\x88\x02\x03\xe8") // Close 1000
	r := streams.NewReader(server, nil)
	defer r.Close()
	source := ws.NewExecUpstreamSource(r, peer{}, ws.V5Channel)
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		switch f.Kind {
		case streams.Data:
			fmt.Printf("stdout %q\n", f.Payload())
		case streams.Status:
			fmt.Printf("status %s\n", f.Payload())
		case streams.Close:
			fmt.Println("close", f.Code)
		}
	}
	// Output:
	// stdout "a.txt\n"
	// status {"status":"Success"}
	// close 1000
}

// masked is a peer that unmasks what a client sends before it prints it.
type masked struct{ peer }

func (m masked) WriteRoom(b []byte, off int) error { return m.peer.WriteRoom(unmasked(b[off:]), 0) }

func ExampleExecUpstreamSink() {
	sink := ws.NewExecUpstreamSink(masked{}, ws.V5Channel)
	for _, f := range []streams.Frame{
		{Kind: streams.Resize, Stream: streams.Stream{Role: streams.Terminal}, Buf: []byte(`{"Width":80,"Height":24}`)},
		{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Buf: []byte("ls\n")},
		{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}},
		{Kind: streams.Close, Code: streams.CloseNormal},
	} {
		sink.Write(f)
	}
	// Output:
	// sent "\x82\x19\x04{\"Width\":80,\"Height\":24}"
	// sent "\x82\x04\x00ls\n"
	// sent "\x82\x02\xff\x00"
	// sent "\x88\x02\x03\xe8"
}

func ExampleTunnel() {
	client := strings.NewReader("" +
		"\x82\x83\x00\x00\x00\x00SPD" +
		"\x82\x81\x00\x00\x00\x00Y" +
		"\x88\x82\x00\x00\x00\x00\x03\xe8")
	tunnel := ws.NewTunnel(client, peer{}, peer{})
	b, err := io.ReadAll(tunnel)
	code, _ := tunnel.Closed()
	fmt.Printf("%s, %v, close %d\n", b, err, code)

	frame := make([]byte, streams.Headroom+3)
	copy(frame[streams.Headroom:], "ACK")
	tunnel.WriteRoom(frame, streams.Headroom)
	tunnel.WriteClose(streams.CloseNormal)
	// Output:
	// SPDY, <nil>, close 1000
	// sent "\x82\x03ACK"
	// sent "\x88\x02\x03\xe8"
}

// ExamplePortSource reads what a client sends on two connections of a port-forward.
func ExamplePortSource() {
	client, server, err := connect(ws.V4)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	ports, err := ws.ParsePorts([]string{"80,443"}, ws.V4Channel) // the request's query: ports=80,443
	if err != nil {
		fmt.Println(err)
		return
	}
	client.WriteMessage(websocket.BinaryMessage, []byte("\x00GET /"))   // channel 0: data of the first port
	client.WriteMessage(websocket.BinaryMessage, []byte("\x02hello"))   // channel 2: data of the second
	client.WriteMessage(websocket.BinaryMessage, []byte("\x01ignored")) // a client sends no errors
	client.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	client.Close()

	r := streams.NewReader(server.NetConn(), nil)
	defer r.Close()
	source := ws.NewPortSource(r, leg{server.NetConn()}, len(ports), ws.V4Channel)
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		switch f.Kind {
		case streams.Data:
			n, _, _ := streams.PortOf(f.Stream.ID)
			fmt.Printf("connection %d, port %d: %q\n", n, ports[n], f.Payload())
		case streams.Close:
			fmt.Println("close", f.Code)
		}
	}
	// Output:
	// connection 0, port 80: "GET /"
	// connection 1, port 443: "hello"
	// close 1000
}

// ExamplePortSink sends a client the data of one connection of a port-forward, and the reason why
// another one failed.
func ExamplePortSink() {
	client, server, err := connect(ws.V4)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	sink := ws.NewPortSink(leg{server.NetConn()}, []uint16{80, 443}, ws.V4Channel)
	data, _ := streams.PortStreams(0)
	_, failure := streams.PortStreams(1)
	sink.Start()
	for _, f := range []streams.Frame{
		{Kind: streams.Data, Stream: data, Buf: []byte("200 OK")},
		{Kind: streams.Data, Stream: failure, Buf: []byte("connection refused")},
		{Kind: streams.Close, Code: streams.CloseNormal},
	} {
		sink.Write(f)
	}
	sink.Flush()
	server.Close()

	for {
		_, message, err := client.ReadMessage()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("channel %d: %q\n", message[0], message[1:])
	}
	// Output:
	// channel 0: "P\x00"
	// channel 1: "P\x00"
	// channel 2: "\xbb\x01"
	// channel 3: "\xbb\x01"
	// channel 0: "200 OK"
	// channel 3: "connection refused"
	// websocket: close 1000 (normal)
}

// ExampleNewClientTunnel exchanges bytes with client-go's implementation of the tunnel.
func ExampleNewClientTunnel() {
	client, server, err := connect(ws.TunnelPortForward)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := client.NetConn()
	defer conn.Close()
	tunnel := ws.NewClientTunnel(conn, leg{conn}, leg{conn})
	peer := portforward.NewTunnelingConnection("server", server)

	request := append(make([]byte, streams.Headroom), "SYN_STREAM"...)
	tunnel.WriteRoom(request, streams.Headroom) // the header goes into the free bytes before the payload
	b := make([]byte, 100)
	n, err := peer.Read(b)
	fmt.Printf("%s %v\n", b[:n], err)

	io.WriteString(peer, "SYN_REPLY")
	peer.Close()
	answer, err := io.ReadAll(tunnel)
	code, closed := tunnel.Closed()
	fmt.Printf("%s %v, closed %v %d\n", answer, err, closed, code)
	// Output:
	// SYN_STREAM <nil>
	// SYN_REPLY <nil>, closed true 1000
}

// ExampleTunnelReplier answers a SPDY ping that a client sends through a tunnel. The SPDY codec
// knows nothing of the tunnel: its Replier puts the answer into a WebSocket message.
func ExampleTunnelReplier() {
	client, server, err := connect(ws.TunnelPortForward)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	client.WriteMessage(websocket.BinaryMessage, spdy.AppendPing(nil, 1))
	client.WriteMessage(websocket.CloseMessage, nil)

	conn := server.NetConn()
	tunnel := ws.NewTunnel(conn, leg{conn}, leg{conn})
	r := streams.NewReader(tunnel, nil)
	defer r.Close()
	source := spdy.NewRelaySource(r, ws.TunnelReplier(leg{conn}), spdy.Client, new(spdy.Table))
	_, err = source.Next() // answers the ping, and returns the end
	fmt.Println(err)
	server.Close()

	_, answer, err := client.ReadMessage()
	fmt.Printf("% x %v\n", answer, err)
	// Output:
	// EOF
	// 80 03 00 06 00 00 00 04 00 00 00 01 <nil>
}

// ExamplePassage sends a ping of edge's own into a WebSocket whose bytes edge does not parse. The
// client answers it, and the answer must not pass on to the other peer, which sent no ping.
func ExamplePassage() {
	client, server, err := connect("an.unknown.protocol")
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := server.NetConn()
	defer conn.Close()
	passage := ws.Passage{Own: [ws.OwnSize]byte([]byte("edge-own"))}
	conn.Write(ws.AppendPing(nil, passage.Own[:]))
	server.WriteMessage(websocket.TextMessage, []byte("hello"))

	client.ReadMessage() // answers the ping before the message
	client.WriteMessage(websocket.TextMessage, []byte("hello too"))
	client.Close()

	b, err := io.ReadAll(conn)
	if err != nil {
		fmt.Println(err)
		return
	}
	for len(b) > 0 {
		pass, drop := passage.Scan(b)
		fmt.Printf("pass on %q, drop %q\n", unmasked(b[:pass]), unmasked(b[pass:pass+drop]))
		b = b[pass+drop:]
	}
	// Output:
	// pass on "", drop "\x8a\bedge-own"
	// pass on "\x81\thello too", drop ""
}

// leg is one side of a WebSocket, after the handshake, as a Writer and a Replier. A Replier must
// not block as this one may, if the peer does not read.
type leg struct{ net.Conn }

func (l leg) WriteRoom(b []byte, off int) error { _, err := l.Write(b[off:]); return err }
func (l leg) Pong(b []byte)                     { l.Write(b) }
func (l leg) Reply(b []byte) error              { _, err := l.Write(b); return err }

// connect returns both ends of a WebSocket that gorilla/websocket has opened. An example uses one
// of them, and the connection below the other.
func connect(subprotocol string) (client, server *websocket.Conn, err error) {
	accepted := make(chan *websocket.Conn, 1)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{subprotocol}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			fmt.Println(err)
		}
		accepted <- conn
	}))
	defer listener.Close()
	dialer := websocket.Dialer{Subprotocols: []string{subprotocol}}
	client, _, err = dialer.Dial("ws"+strings.TrimPrefix(listener.URL, "http"), nil)
	if err != nil {
		return nil, nil, err
	}
	return client, <-accepted, nil
}
