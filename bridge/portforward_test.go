package bridge_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	moby "github.com/moby/spdystream/spdy"
	"k8s.io/client-go/tools/portforward"
	clientspdy "k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge"
)

// forwardDialers returns the two dialers that client-go has for port-forward: tunnel (SPDY inside
// WebSocket) and SPDY.
func forwardDialers(t testing.TB, s *httptest.Server) map[string]httpstream.Dialer {
	cfg, u := configFor(s), podURL(s, "portforward", "")
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := clientspdy.RoundTripperFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]httpstream.Dialer{
		"tunnel": tunnel,
		"spdy":   clientspdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u),
	}
}

// forwarded is one connection of a port-forward, on the client's side.
type forwarded struct {
	data  httpstream.Stream
	fails <-chan string // receives the complete content of the error stream
}

// forward opens a connection as client-go does. The caller must read both streams all the time: a
// stream that is not read blocks all of spdystream.
func forward(conn httpstream.Connection, port, id int) (f forwarded, err error) {
	h := http.Header{"Port": {strconv.Itoa(port)}, "Requestid": {strconv.Itoa(id)}}
	h.Set("streamType", "error")
	failed, err := conn.CreateStream(h)
	if err != nil {
		return f, err
	}
	failed.Close()
	fails := make(chan string, 1)
	f.fails = fails
	go func() {
		said, _ := io.ReadAll(failed)
		fails <- string(said)
	}()
	h.Set("streamType", "data")
	f.data, err = conn.CreateStream(h)
	return f, err
}

// ports are the ports that the pod of these tests listens on.
func ports(port int32, c io.ReadWriter) error {
	switch port {
	case 80: // port 80 echoes, and at the end sends the number of bytes
		n, err := io.Copy(c, c)
		fmt.Fprintf(c, "%d bytes", n)
		return err
	case 81:
		return errors.New("connection refused")
	case 82: // port 82 sends 1,000,000 bytes and ends the connection
		_, err := io.WriteString(c, strings.Repeat("0123456789", 100_000))
		return err
	case 83: // port 83 sends the SHA-256 of the bytes that it received
		hash := sha256.New()
		_, err := io.Copy(hash, c)
		fmt.Fprintf(c, "%x", hash.Sum(nil))
		return err
	}
	return fmt.Errorf("nothing on port %d", port)
}

// TestPortForward checks that client-go receives the same of a port-forward with edge, over SPDY
// and in a tunnel, as without edge. The connections work at the same time, with data and
// half-closes. A refused connection reports the reason and does not end the others.
func TestPortForward(t *testing.T) {
	t.Parallel()
	api := (&apiServer{forward: ports}).start(t)
	w, tunnelled := newWorld(t, api, speaking(bridge.StreamingSPDY)), newWorld(t, api, speaking(bridge.StreamingWebSocket))
	for name, s := range map[string]*httptest.Server{"edge": w.edge, "edge and a tunnel": tunnelled.edge, "direct": w.api} {
		for dialect, dialer := range forwardDialers(t, s) {
			t.Run(name+" "+dialect, func(t *testing.T) {
				conn, protocol, err := dialer.Dial("portforward.k8s.io")
				if err != nil || protocol != "portforward.k8s.io" {
					t.Fatal(protocol, err)
				}
				defer conn.Close()
				var all sync.WaitGroup
				for i := range 10 {
					all.Go(func() { checkEcho(t, conn, 4*i) })
					all.Go(func() { checkRefused(t, conn, 4*i+1) })
					all.Go(func() { checkOutput(t, conn, 4*i+2) })
					all.Go(func() { checkInput(t, conn, 4*i+3) })
				}
				all.Wait()
			})
		}
	}
	w.ended(2)
	tunnelled.ended(2)
}

func checkEcho(t *testing.T, conn httpstream.Connection, id int) {
	f, err := forward(conn, 80, id)
	if err != nil {
		t.Error(err)
		return
	}
	say := noise(50_000)
	go func() {
		io.WriteString(f.data, say)
		f.data.Close()
	}()
	got, err := io.ReadAll(f.data)
	if want := say + "50000 bytes"; err != nil || string(got) != want {
		t.Errorf("the echo has %d bytes, not %d: %v", len(got), len(want), err)
	}
	if said := <-f.fails; said != "" {
		t.Errorf("the error stream says %q", said)
	}
}

func checkRefused(t *testing.T, conn httpstream.Connection, id int) {
	f, err := forward(conn, 81, id)
	if err == nil { // the reset of the stream has not arrived yet
		if got, _ := io.ReadAll(f.data); len(got) > 0 {
			t.Errorf("data from nowhere: %q", got)
		}
	}
	if f.fails == nil {
		t.Error(err)
		return
	}
	if said := <-f.fails; !strings.Contains(said, "connection refused") {
		t.Errorf("the error stream says %q", said)
	}
}

func checkOutput(t *testing.T, conn httpstream.Connection, id int) {
	f, err := forward(conn, 82, id)
	if err != nil {
		t.Error(err)
		return
	}
	if got, err := io.ReadAll(f.data); err != nil || len(got) != 1_000_000 {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	f.data.Close()
}

func checkInput(t *testing.T, conn httpstream.Connection, id int) {
	f, err := forward(conn, 83, id)
	if err != nil {
		t.Error(err)
		return
	}
	say := noise(300_000)
	io.WriteString(f.data, say)
	f.data.Close()
	if got, err := io.ReadAll(f.data); err != nil || string(got) != fmt.Sprintf("%x", sha256.Sum256([]byte(say))) {
		t.Errorf("the hash is %q, %v", got, err)
	}
}

// TestKubectlPortForward checks HTTP through client-go's port forwarder, which kubectl uses.
func TestKubectlPortForward(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path+strings.Repeat("x", 10_000))
	}))
	defer site.Close()
	w := newWorld(t, (&apiServer{forward: func(_ int32, c io.ReadWriter) error {
		conn, err := net.Dial("tcp", site.Listener.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		go func() {
			io.Copy(conn, c)
			conn.(*net.TCPConn).CloseWrite()
		}()
		_, err = io.Copy(c, conn)
		return err
	}}).start(t))
	for dialect, dialer := range forwardDialers(t, w.edge) {
		t.Run(dialect, func(t *testing.T) {
			stop, ready := make(chan struct{}), make(chan struct{})
			forwarder, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- forwarder.ForwardPorts() }()
			<-ready
			local := must(forwarder.GetPorts())[0].Local
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/%d", local, i))
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					body, err := io.ReadAll(resp.Body)
					if want := fmt.Sprintf("/%d%s", i, strings.Repeat("x", 10_000)); string(body) != want {
						t.Errorf("%d bytes, %v", len(body), err)
					}
				})
			}
			all.Wait()
			close(stop)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	w.ended(2)
}

// TestTunnelClose checks that a tunnel (SPDY inside WebSocket) ends when its client sends a Close,
// with any code.
func TestTunnelClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{forward: ports}).start(t))
	for i, code := range []int{websocket.CloseNormalClosure, websocket.CloseGoingAway, 4000} {
		c := w.webSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(patience))
		if tr := transcribe(t, c); tr.code != code {
			t.Errorf("the Close %d is answered by %d, %v", code, tr.code, tr.err)
		}
		if line := w.ended(i + 1); !strings.Contains(line, `cause="client closed the session"`) {
			t.Error(line)
		}
	}
}

// TestTunnelBoundaries checks that the message boundaries of a tunnel (SPDY inside WebSocket) have
// no meaning: a client may split the SPDY bytes anywhere.
func TestTunnelBoundaries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{forward: ports}).start(t))
	var story strings.Builder
	f, err := moby.NewFramer(&story, nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, kind := range []string{"error", "data"} {
		f.WriteFrame(&moby.SynStreamFrame{StreamId: moby.StreamId(2*id + 1), Headers: http.Header{"Streamtype": {kind}, "Port": {"80"}, "Requestid": {"0"}}})
	}
	for _, size := range []int{1, 2, 7, 1000} {
		c := w.webSocket(t, forwardPath, "SPDY/3.1+portforward.k8s.io")
		tunnel := portforward.NewTunnelingConnection("test", c)
		for piece := story.String(); piece != ""; piece = piece[min(size, len(piece)):] {
			io.WriteString(tunnel, piece[:min(size, len(piece))])
		}
		in, err := moby.NewFramer(io.Discard, tunnel)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			frame, err := in.ReadFrame()
			if _, ok := frame.(*moby.SynReplyFrame); !ok {
				t.Fatalf("in pieces of %d: %+v, %v", size, frame, err)
			}
		}
		out, err := moby.NewFramer(tunnel, nil)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteFrame(&moby.DataFrame{StreamId: 3, Data: []byte("hello"), Flags: moby.DataFlagFin})
		var got []byte
		for {
			frame, err := in.ReadFrame()
			data, ok := frame.(*moby.DataFrame)
			if err != nil {
				t.Fatal(err)
			}
			if ok && data.StreamId == 3 {
				got = append(got, data.Data...)
				if data.Flags&moby.DataFlagFin != 0 {
					break
				}
			}
		}
		if string(got) != "hello5 bytes" {
			t.Errorf("in pieces of %d: %q", size, got)
		}
		tunnel.Close()
	}
}
