package bridge_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// lateReader is how long the pod waits before it reads. A shorter wait could only make the test
// miss an error.
const lateReader = 200 * time.Millisecond

// TestPortChannelsLastWord checks a client that closes immediately after it has sent data. edge
// must answer the Close only after the pod has read the data, as the runtime's own WebSocket server
// does. The runtime's SPDY server drops the data if the session ends right after its start.
func TestPortChannelsLastWord(t *testing.T) {
	t.Parallel()
	begun, closed, heard := make(chan bool), make(chan bool), make(chan string)
	var answered atomic.Bool
	api := (&apiServer{forward: func(_ int32, c io.ReadWriter) error {
		begun <- true
		<-closed
		time.Sleep(lateReader)
		early := answered.Load()
		b, err := io.ReadAll(c)
		if early {
			b = append(b, " after the answer"...)
		}
		heard <- string(b)
		return err
	}}).start(t)
	for _, streaming := range upstreams {
		answered.Store(false)
		w := newWorld(t, api, speaking(streaming))
		w.handler.SetTimes(patience, patience, patience)
		c, err := dialChannels(t.Context(), w.edge, "portforward", "ports=80", "v4.channel.k8s.io")
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		<-begun
		if err := c.send(0, []byte("the last word")); err != nil {
			t.Fatal(err)
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
		over := make(chan int)
		go func() {
			code := transcribe(t, c.Conn).code
			answered.Store(true)
			over <- code
		}()
		closed <- true
		if got := <-heard; got != "the last word" {
			t.Errorf("over %v the pod heard %q", streaming, got)
		}
		if code := <-over; code != websocket.CloseNormalClosure {
			t.Errorf("over %v: answered by %d", streaming, code)
		}
		c.Close()
	}
}
