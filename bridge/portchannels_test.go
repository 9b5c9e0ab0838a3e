package bridge_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"edge/bridge"
)

// portStory is everything that a client of port-forward over WebSocket channels has received, by
// channel: the port, the data after it, and the end of the connection.
type portStory struct {
	ports map[byte]int
	said  map[byte]string
	code  int
	err   error
}

// tellPorts starts a port-forward over WebSocket channels to the given ports and sends the text in
// the parameter say to each connection. It reads until the function enough returns true or the
// connection ends.
func tellPorts(t testing.TB, s *httptest.Server, protocol string, ports []int, say string, enough func(portStory) bool) portStory {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	query := strings.ReplaceAll(strings.Trim(fmt.Sprint(ports), "[]"), " ", "&ports=")
	c, err := dialChannels(ctx, s, "portforward", "ports="+query, protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(patience))
	story := portStory{ports: map[byte]int{}, said: map[byte]string{}}
	for n := range ports {
		if say != "" {
			if err := c.send(byte(2*n), []byte(say)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for enough == nil || !enough(story) {
		channel, b, err := c.receive()
		if err != nil {
			story.err = err
			if closed := (*websocket.CloseError)(nil); errors.As(err, &closed) {
				story.code = closed.Code
			}
			break
		}
		if _, ok := story.ports[channel]; !ok {
			if len(b) != 2 {
				t.Errorf("the first message on channel %d is %q", channel, b)
				break
			}
			story.ports[channel] = int(binary.LittleEndian.Uint16(b))
			continue
		}
		story.said[channel] += string(b)
	}
	return story
}

// channelPorts are the ports of the pod in these tests. WebSocket channels have no half-close, so a
// port that waits for the end of its input would wait forever.
func channelPorts(port int32, c io.ReadWriter) error {
	switch port {
	case 80: // port 80 echoes five bytes and ends the connection
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		_, err := c.Write(b)
		return err
	case 85: // port 85 echoes until the connection ends
		_, err := io.Copy(c, c)
		return err
	}
	return ports(port, c)
}

var portProtocols = []string{"v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""}

// TestPortChannels checks that a client of port-forward over WebSocket channels receives the same
// with edge, over either upstream protocol, as without edge: the ports, the data of each
// connection, why a connection was refused, and a Close after all connections have ended.
func TestPortChannels(t *testing.T) {
	t.Parallel()
	api := (&apiServer{forward: channelPorts}).start(t)
	spdy, tunnelled := newWorld(t, api, speaking(bridge.StreamingSPDY)), newWorld(t, api, speaking(bridge.StreamingWebSocket))
	for name, s := range map[string]*httptest.Server{"SPDY": spdy.edge, "tunnel": tunnelled.edge, "direct": spdy.api} {
		for _, protocol := range portProtocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				got := tellPorts(t, s, protocol, []int{80, 81, 82, 80}, "hello", nil)
				for channel, port := range []int{80, 80, 81, 81, 82, 82, 80, 80} {
					if got.ports[byte(channel)] != port {
						t.Errorf("channel %d is for port %d, not %d", channel, got.ports[byte(channel)], port)
					}
				}
				if got.said[0] != "hello" || got.said[6] != "hello" || len(got.said[4]) != 1_000_000 {
					t.Errorf("%q, %q, %d bytes", got.said[0], got.said[6], len(got.said[4]))
				}
				if !strings.Contains(got.said[3], "connection refused") || len(got.said[2]) > 0 {
					t.Errorf("refused with %q, and %q", got.said[3], got.said[2])
				}
				if got.said[1]+got.said[5]+got.said[7] != "" {
					t.Errorf("errors of connections that had none: %q", got.said)
				}
				if got.code != websocket.CloseNormalClosure {
					t.Errorf("ended with %v", got.err)
				}
			})
		}
	}
}

// TestPortChannelsClose checks that edge answers a client's Close with the client's code, and that
// the pod's connections end.
func TestPortChannelsClose(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 2)
	api := (&apiServer{forward: func(_ int32, c io.ReadWriter) error {
		io.WriteString(c, "up") // the client must not disconnect before the pod's connection exists
		_, err := io.Copy(io.Discard, c)
		ended <- err
		return err
	}}).start(t)
	for _, streaming := range upstreams {
		w := newWorld(t, api, speaking(streaming))
		c, err := dialChannels(t.Context(), w.edge, "portforward", "ports=80&ports=80", "v4.channel.k8s.io")
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		for up := 0; up < 2; {
			_, b, err := c.receive()
			if err != nil {
				t.Fatal(err)
			}
			if string(b) == "up" {
				up++
			}
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, ""), time.Now().Add(patience))
		if tr := transcribe(t, c.Conn); tr.code != 4001 {
			t.Errorf("answered by %d, %v", tr.code, tr.err)
		}
		for range 2 {
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the pod's connection did not end")
			}
		}
		if line := w.ended(1); !strings.Contains(line, `cause="client closed the session"`) {
			t.Error(line)
		}
		c.Close()
	}
}

// TestPortChannelsRefusals checks that edge refuses an invalid list of ports and a subprotocol that
// port-forward does not have. A client that offers v5 and v4 must get v4.
func TestPortChannelsRefusals(t *testing.T) {
	t.Parallel()
	api := &apiServer{forward: channelPorts}
	w := newWorld(t, api.start(t))
	for query, code := range map[string]int{
		"": 400, "ports=": 400, "ports=0": 400, "ports=65536": 400, "ports=-1": 400, "ports=http": 400, "ports=80;81": 400,
		"ports=80" + strings.Repeat("&ports=80", 128): 400,
	} {
		c := dialRaw(t, w.edge)
		c.ask("", askWebSocket(forwardPath+"?"+query, "Sec-WebSocket-Protocol: v4.channel.k8s.io")...)
		resp := c.answer()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != code || !bytes.Contains(body, []byte("ports")) {
			t.Errorf("%q: %s: %s", query, resp.Status, body)
		}
	}
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(forwardPath+"?ports=80", "Sec-WebSocket-Protocol: v5.channel.k8s.io")...)
	if resp := c.answer(); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
	if seen := api.requests(); len(seen) > 0 {
		t.Errorf("upstream saw %s", seen[0].URL)
	}
	c = dialRaw(t, w.edge)
	c.ask("", askWebSocket(forwardPath+"?ports=80", "Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io")...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Protocol") != "v4.channel.k8s.io" {
		t.Error(resp.Status, resp.Header)
	}
	c.Close()
	w.ended(1)
}
