package ws_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"

	"edge/streams"
	"edge/streams/ws"
)

const failure = `{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]},"code":500}`

// wire is a Writer and a Replier that writes directly to a connection.
type wire struct {
	mu sync.Mutex
	c  net.Conn
}

func (w *wire) WriteRoom(b []byte, off int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.c.Write(b[off:])
	return err
}

func (w *wire) Pong(b []byte)        { w.WriteRoom(b, 0) }
func (w *wire) Reply(b []byte) error { return w.WriteRoom(b, 0) }

// serve starts a server that runs handle for each upgraded connection, and returns its address. At
// the end of the test it waits for the handlers and then closes the server.
func serve(t *testing.T, subprotocol string, handle func(net.Conn)) string {
	var handlers sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		up := websocket.Upgrader{Subprotocols: []string{subprotocol}, CheckOrigin: func(*http.Request) bool { return true }}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		c.NetConn().SetDeadline(time.Now().Add(time.Minute))
		handle(c.NetConn())
	}))
	t.Cleanup(func() {
		srv.Close()
		handlers.Wait()
	})
	return srv.Listener.Addr().String()
}

// echo returns a process that copies stdin to stdout and the terminal sizes to stderr. It ends with
// exit code 7 when stdin ends or contains "exit".
func echo(t *testing.T, d ws.Dialect) func(net.Conn) {
	return func(c net.Conn) {
		w := &wire{c: c}
		sink := ws.NewExecDownstreamSink(w, d)
		if err := sink.Start(streams.Stdout); err != nil {
			t.Error(err)
			return
		}
		r := streams.NewReader(c, sink.Flush)
		defer r.Close()
		source := ws.NewExecDownstreamSource(r, w, d)
		for {
			f, err := source.Next()
			if err != nil {
				if err != io.EOF {
					t.Errorf("server: %v", err)
				}
				return
			}
			end := false
			switch f.Kind {
			case streams.Data:
				end = bytes.HasSuffix(f.Payload(), []byte("exit"))
				f.Stream.Role = streams.Stdout
			case streams.Resize:
				f.Kind, f.Stream.Role = streams.Data, streams.Stderr
			case streams.HalfClose:
				end = true
			case streams.Close:
				continue
			}
			if err := sink.Write(f); err != nil {
				t.Errorf("server: %v", err)
				return
			}
			if end {
				sink.Write(say(streams.Status, streams.Error, failure))
				sink.Write(closing(streams.CloseNormal))
			}
		}
	}
}

// inputs are sizes of stdin messages, in bytes: around each size limit of headers, frames and
// buffers.
var inputs = []int{1, 2, 123, 124, 125, 126, 127, 4094, 4095, 4096, 4097, 32703, 32704, 32705, 32767, 32768, 65533, 65534, 65535, 65536, 200000}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// TestGorillaClient checks exec sessions of a client made with gorilla/websocket, in every dialect.
func TestGorillaClient(t *testing.T) {
	for _, d := range dialects {
		for _, buffer := range []int{16, 1000, 40000} { // gorilla fragments messages longer than buffer
			t.Run(fmt.Sprint(d, " ", buffer), func(t *testing.T) {
				dialer := websocket.Dialer{Subprotocols: []string{d.String()}, WriteBufferSize: buffer}
				c, _, err := dialer.Dial("ws://"+serve(t, d.String(), echo(t, d)), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				var pongs []string
				c.SetPongHandler(func(s string) error { pongs = append(pongs, s); return nil })

				sent, done := bytes.Buffer{}, make(chan struct{})
				go func() {
					defer close(done)
					for i, n := range inputs {
						kind := websocket.BinaryMessage
						if i%2 == 1 {
							kind = websocket.TextMessage
						}
						b := random(n)
						sent.Write(b)
						m := messageIn(d, 0, string(b))
						w, _ := c.NextWriter(kind)
						w.Write(m[:1])
						w.Write(m[1 : 1+n/2])
						c.WriteControl(websocket.PingMessage, []byte(fmt.Sprint(i)), time.Time{})
						w.Write(m[1+n/2:])
						w.Close()
						c.WriteMessage(kind, nil)
					}
					c.WriteMessage(websocket.TextMessage, messageIn(d, 4, size))
					if d == ws.V5Channel {
						c.WriteMessage(websocket.BinaryMessage, []byte{255, 0})
					} else {
						c.WriteMessage(websocket.TextMessage, messageIn(d, 0, "exit"))
						sent.WriteString("exit")
					}
				}()
				var got [4]bytes.Buffer
				for first := true; ; first = false {
					kind, b, err := c.ReadMessage()
					if err != nil {
						if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
							t.Error(err)
						}
						break
					}
					if isText := kind == websocket.TextMessage; isText != isBase64(d) || len(b) == 0 || first != (len(b) == 1) {
						t.Fatalf("message %d of %d bytes", kind, len(b))
					}
					channel, b := saidIn(t, d, b)
					if len(b) > streams.MaxData {
						t.Fatalf("message of %d bytes", len(b))
					}
					got[channel].Write(b)
				}
				<-done
				if !bytes.Equal(got[1].Bytes(), sent.Bytes()) {
					t.Errorf("%d bytes of stdin came back as %d, or different", sent.Len(), got[1].Len())
				}
				if got[2].String() != size || got[3].String() != failure {
					t.Errorf("stderr %q, status %q", got[2].String(), got[3].String())
				}
				if len(pongs) != len(inputs) || pongs[len(pongs)-1] != fmt.Sprint(len(inputs)-1) {
					t.Errorf("pongs %q", pongs)
				}
			})
		}
	}
}

// TestXnetClient checks exec sessions of a client made with golang.org/x/net/websocket.
func TestXnetClient(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.String(), func(t *testing.T) {
			c, err := xnet.Dial("ws://"+serve(t, d.String(), echo(t, d))+"/", d.String(), "http://localhost/")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sent, done := bytes.Buffer{}, make(chan struct{})
			go func() {
				defer close(done)
				for i, n := range inputs {
					b := random(n)
					sent.Write(b)
					m := messageIn(d, 0, string(b))
					if i%2 == 1 {
						xnet.Message.Send(c, string(m))
					} else {
						xnet.Message.Send(c, m)
					}
					c.PayloadType = xnet.PingFrame
					c.Write([]byte("ping"))
					c.PayloadType = xnet.PongFrame
					c.Write(nil)
				}
				xnet.Message.Send(c, messageIn(d, 4, size))
				xnet.Message.Send(c, messageIn(d, 0, "exit"))
				sent.WriteString("exit")
			}()
			var got [4]bytes.Buffer
			for {
				var b []byte
				if err := xnet.Message.Receive(c, &b); err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					break
				}
				if len(b) == 0 {
					t.Fatal("empty message")
				}
				channel, b := saidIn(t, d, b)
				got[channel].Write(b)
			}
			<-done
			if !bytes.Equal(got[1].Bytes(), sent.Bytes()) {
				t.Errorf("%d bytes of stdin came back as %d, or different", sent.Len(), got[1].Len())
			}
			if got[2].String() != size || got[3].String() != failure {
				t.Errorf("stderr %q, status %q", got[2].String(), got[3].String())
			}
		})
	}
}
