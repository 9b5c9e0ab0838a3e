package streams_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
	peer "k8s.io/streaming/pkg/httpstream/spdy"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// leg is the connection to one peer, as a Writer and a Replier. A Replier must not block as this
// one may, if the peer does not read.
type leg struct{ net.Conn }

func (l leg) WriteRoom(b []byte, off int) error { _, err := l.Write(b[off:]); return err }
func (l leg) Pong(b []byte)                     { l.Write(b) }
func (l leg) Reply(b []byte) error              { _, err := l.Write(b); return err }

// relay relays an exec between a client that uses WebSocket and a server that uses SPDY. It copies
// the frames of each direction from a Source to a Sink.
func relay(client, server leg) {
	set := streams.Set{Stdin: true, Stdout: true}
	toServer, toClient := spdy.NewExecUpstreamSink(server, set), ws.NewExecDownstreamSink(client, ws.V5Channel)
	// Before a Reader waits for more bytes, it flushes the Sink that its frames go to.
	fromClient, fromServer := streams.NewReader(client, toServer.Flush), streams.NewReader(server, toClient.Flush)
	defer fromClient.Close()
	defer fromServer.Close()

	toServer.Open()
	toClient.Start(streams.Stdout)
	var running sync.WaitGroup
	running.Go(func() { copyFrames(toServer, ws.NewExecDownstreamSource(fromClient, client, ws.V5Channel)) })
	running.Go(func() { copyFrames(toClient, spdy.NewExecUpstreamSource(fromServer, server, set)) })
	running.Wait()
}

// copyFrames knows neither protocol. A Status is the last frame of an exec, and a Close follows it.
func copyFrames(sink streams.Sink, source streams.Source) {
	for {
		f, err := source.Next()
		if err != nil || sink.Write(f) != nil {
			return
		}
		if f.Kind == streams.Status {
			sink.Write(streams.Frame{Kind: streams.Close, Code: streams.CloseNormal})
			sink.Flush()
			return
		}
	}
}

// Example runs an exec with a client made with gorilla/websocket and a server made with the SPDY
// implementation of Kubernetes.
func Example() {
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{ws.V5}}
		client, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer client.Close()
		server, stop := startServer()
		defer stop()
		relay(leg{client.NetConn()}, leg{server})
	}))
	defer edge.Close()

	dialer := websocket.Dialer{Subprotocols: []string{ws.V5}}
	client, _, err := dialer.Dial("ws"+strings.TrimPrefix(edge.URL, "http"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	client.WriteMessage(websocket.BinaryMessage, []byte("\x00hello"))
	client.WriteMessage(websocket.BinaryMessage, []byte("\xff\x00")) // stdin ends
	for {
		_, message, err := client.ReadMessage()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("channel %d: %q\n", message[0], message[1:])
	}
	// Output:
	// channel 1: ""
	// channel 1: "HELLO"
	// channel 3: "{\"status\":\"Success\"}"
	// websocket: close 1000 (normal)
}

// startServer starts the server of one exec, whose command writes its stdin in upper case.
func startServer() (conn net.Conn, stop func()) {
	near, far := net.Pipe()
	accepted := make(chan httpstream.Stream)
	server, err := peer.NewServerConnection(far, func(s httpstream.Stream, replied <-chan struct{}) error {
		go func() {
			<-replied
			accepted <- s
		}()
		return nil
	})
	if err != nil {
		panic(err)
	}
	go func() {
		opened := map[string]httpstream.Stream{}
		for range 3 {
			s := <-accepted
			opened[s.Headers().Get(corev1.StreamType)] = s
		}
		stdin, _ := io.ReadAll(opened[corev1.StreamTypeStdin])
		io.WriteString(opened[corev1.StreamTypeStdout], strings.ToUpper(string(stdin)))
		io.WriteString(opened[corev1.StreamTypeError], `{"status":"Success"}`)
		opened[corev1.StreamTypeError].Close()
	}()
	return near, func() { near.Close(); server.Close() }
}
