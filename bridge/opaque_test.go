package bridge_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	xwebsocket "golang.org/x/net/websocket"
)

// echo is a WebSocket server that sends back each message.
func echo(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"b", "c"}, EnableCompression: true}
	c, err := upgrader.Upgrade(w, r, http.Header{"Set-Cookie": {"console=1"}})
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, b); err != nil {
			return
		}
	}
}

// TestOpaqueWebSocket checks a WebSocket that is no exec, attach or port-forward. After the API
// server's own 101, edge must relay the WebSocket unchanged: subprotocol, extensions, text,
// fragments, pings and the Close.
func TestOpaqueWebSocket(t *testing.T) {
	t.Parallel()
	api := &apiServer{rest: echo}
	w := newWorld(t, api.start(t))
	for _, s := range []*httptest.Server{w.api, w.edge} {
		d := websocket.Dialer{TLSClientConfig: tlsFor(s), Subprotocols: []string{"a", "b"}, EnableCompression: true}
		header := http.Header{"Cookie": {"session=1"}, "X-Console": {"yes"}}
		c, resp, err := d.Dial("wss://"+s.Listener.Addr().String()+proxyPath+"?a=%20b&c", header)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		if c.Subprotocol() != "b" || !strings.Contains(resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") ||
			resp.Header.Get("Set-Cookie") != "console=1" {
			t.Errorf("the answer's header is %v", resp.Header)
		}
		for _, say := range []string{"hello", "", noise(300_000)} {
			if err := c.WriteMessage(websocket.BinaryMessage, []byte(say)); err != nil {
				t.Fatal(err)
			}
			if _, b, err := c.ReadMessage(); err != nil || string(b) != say {
				t.Errorf("%d bytes came back as %d, %v", len(say), len(b), err)
			}
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "done"), time.Now().Add(patience))
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4001) {
			t.Errorf("the close is answered by %v", err)
		}
		c.Close()
	}
	direct, edge := api.requests()[0], api.requests()[1]
	if edge.URL.String() != direct.URL.String() || edge.Header.Get("X-Console") != "yes" {
		t.Errorf("upstream saw %s %v", edge.URL, edge.Header)
	}
	if line := w.ended(1); !strings.Contains(line, `downstream="websocket opaque"`) {
		t.Error(line)
	}
}

// TestOpaqueSubprotocols checks that edge joins several Sec-WebSocket-Protocol lines into one,
// because the API server reads only the first line.
func TestOpaqueSubprotocols(t *testing.T) {
	t.Parallel()
	api := &apiServer{rest: echo}
	w := newWorld(t, api.start(t))
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(proxyPath, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b , c")...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Protocol") != "b" {
		t.Errorf("the answer is %s %v", resp.Status, resp.Header)
	}
	if got := api.requests()[0].Header["Sec-Websocket-Protocol"]; !reflect.DeepEqual(got, []string{"a, b, c"}) {
		t.Errorf("upstream was offered %q", got)
	}
}

// TestOpaqueEmptySubprotocol checks an API server whose WebSocket library (x/net) answers an empty
// Sec-WebSocket-Protocol to a client that offered none. edge must treat the empty header as no
// subprotocol.
func TestOpaqueEmptySubprotocol(t *testing.T) {
	t.Parallel()
	server := xwebsocket.Server{
		Handler: func(*xwebsocket.Conn) {},
		Handshake: func(c *xwebsocket.Config, _ *http.Request) error { // Kubernetes' package wsstream also sets an empty subprotocol
			c.Protocol = []string{""}
			return nil
		},
	}
	w := newWorld(t, (&apiServer{rest: server.ServeHTTP}).start(t))
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(proxyPath)...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("the answer is %s", resp.Status)
	}
	c.Close()
	w.ended(1)
}

// TestOpaqueEnds checks an upgrade that edge does not parse: the last data of either side must
// arrive, and the end of one side's connection must end the other side's.
func TestOpaqueEnds(t *testing.T) {
	t.Parallel()
	serverGone := make(chan error, 1)
	last := strings.Repeat("last words ", 100_000)
	w := newWorld(t, (&apiServer{rest: func(w http.ResponseWriter, r *http.Request) {
		c := must((&websocket.Upgrader{}).Upgrade(w, r, nil))
		defer c.Close()
		if r.URL.Query().Has("server") {
			c.WriteMessage(websocket.TextMessage, []byte(last))
			return
		}
		_, b, err := c.ReadMessage()
		if string(b) != last {
			err = fmt.Errorf("got %d bytes: %v", len(b), err)
		}
		c.ReadMessage()
		serverGone <- err
	}}).start(t))
	c := w.webSocket(t, proxyPath+"?server")
	if _, b, err := c.ReadMessage(); string(b) != last {
		t.Errorf("the client got %d bytes, %v", len(b), err)
	}
	if _, _, err := c.ReadMessage(); err == nil {
		t.Error("the client's connection does not end")
	}
	c.Close()
	c = w.webSocket(t, proxyPath+"?client")
	c.WriteMessage(websocket.TextMessage, []byte(last))
	c.Close()
	if err := <-serverGone; err != nil {
		t.Error(err)
	}
	w.ended(2)
}
