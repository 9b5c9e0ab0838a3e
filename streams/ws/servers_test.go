package ws_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"

	"edge/streams"
	"edge/streams/ws"
)

// shake does a client's WebSocket handshake with a server. It returns the connection and the reader
// for what the server sends.
func shake(t *testing.T, addr, subprotocol string) (net.Conn, io.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	offer := "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	if subprotocol == "" {
		offer = ""
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost\r\n%s\r\n", addr, offer)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Protocol") != subprotocol {
		t.Fatalf("answer %v, %v", resp, err)
	}
	return c, r
}

// session is what a client received in a session, by stream.
type session struct {
	stdout, stderr bytes.Buffer
	status         string
	code           int // code of the server's Close; -1: there was no Close
}

// run acts as a client that sends stdin, a terminal size and the end of stdin, as far as the
// dialect can express them. It then reads until the session ends.
func run(t *testing.T, addr, subprotocol string, d ws.Dialect, stdin [][]byte) *session {
	t.Helper()
	c, from := shake(t, addr, subprotocol)
	w := &wire{c: c}
	r := streams.NewReader(from, nil)
	defer r.Close()
	source, sink := ws.NewExecUpstreamSource(r, w, d), ws.NewExecUpstreamSink(w, d)
	done := make(chan error, 1)
	go func() {
		write := func() error {
			frames := []streams.Frame{say(streams.Resize, streams.Terminal, size)}
			for _, b := range stdin {
				for n := range (len(b) + streams.MaxData - 1) / streams.MaxData {
					frames = append(frames, say(streams.Data, streams.Stdin, string(b[n*streams.MaxData:min(len(b), (n+1)*streams.MaxData)])))
				}
			}
			frames = append(frames, say(streams.HalfClose, streams.Stdin, ""))
			// The client sends a ping before each frame, but no ping after the last frame: a server
			// that closes the connection might not read that ping.
			for _, f := range frames {
				if err := w.WriteRoom(ws.AppendClientPing(nil, []byte("ping")), 0); err != nil {
					return err
				}
				if err := sink.Write(f); err != nil {
					return err
				}
			}
			return sink.Flush()
		}
		done <- write()
	}()
	s := &session{code: -1}
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Errorf("source: %v", err)
			break
		}
		switch {
		case f.Kind == streams.Data && f.Stream.Role == streams.Stdout:
			s.stdout.Write(f.Payload())
		case f.Kind == streams.Data && f.Stream.Role == streams.Stderr:
			s.stderr.Write(f.Payload())
		case f.Kind == streams.Status:
			s.status += string(f.Payload())
		case f.Kind == streams.Close:
			s.code = int(f.Code)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("sink: %v", err)
	}
	return s
}

// script returns the stdin messages for a process that ends when stdin ends, and the bytes of all
// messages. In a dialect that cannot announce the end of stdin, the last message is "exit".
func script(d ws.Dialect) (stdin [][]byte, all []byte) {
	for _, n := range inputs {
		stdin = append(stdin, random(n))
	}
	if d != ws.V5Channel {
		stdin = append(stdin, []byte("exit"))
	}
	return stdin, bytes.Join(stdin, nil)
}

func (s *session) check(t *testing.T, stdout []byte, stderr, status string) {
	t.Helper()
	if !bytes.Equal(s.stdout.Bytes(), stdout) {
		t.Errorf("stdout of %d bytes, want %d, or different", s.stdout.Len(), len(stdout))
	}
	if s.stderr.String() != stderr || s.status != status || s.code != streams.CloseNormal {
		t.Errorf("stderr %q, status %q, close %d; want %q, %q", s.stderr.String(), s.status, s.code, stderr, status)
	}
}

// messageServer is the server side of the message API of gorilla/websocket or
// golang.org/x/net/websocket.
type messageServer struct {
	receive func() ([]byte, error)
	send    func([]byte) error
	ping    func()
}

// echo copies stdin to stdout and terminal sizes to stderr, and ends when stdin ends.
func (s *messageServer) echo(t *testing.T, d ws.Dialect) {
	say := func(channel byte, m []byte) {
		s.ping()
		if err := s.send(messageIn(d, channel, string(m))); err != nil {
			t.Error(err)
		}
	}
	say(1, nil)
	for {
		b, err := s.receive()
		if err != nil {
			t.Error(err)
			return
		}
		channel, b := saidIn(t, d, b)
		ended := channel == 255 && d == ws.V5Channel
		switch channel {
		case 0:
			say(1, b)
			ended = bytes.HasSuffix(b, []byte("exit"))
		case 4:
			say(2, b)
		default:
			if !ended || string(b) != "\x00" {
				t.Errorf("%q on channel %d", b, channel)
			}
		}
		if ended {
			say(3, []byte(failure))
			return
		}
	}
}

// TestMessageServers checks that servers made with gorilla/websocket and golang.org/x/net/websocket
// understand what this package's client side sends, and the reverse.
func TestMessageServers(t *testing.T) {
	for _, d := range dialects {
		stdin, all := script(d)
		for _, buffer := range []int{16, 1000, 40000} { // gorilla fragments messages longer than buffer
			t.Run(fmt.Sprint("gorilla ", d, " ", buffer), func(t *testing.T) {
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					up := websocket.Upgrader{Subprotocols: []string{d.String()}, WriteBufferSize: buffer, CheckOrigin: func(*http.Request) bool { return true }}
					c, err := up.Upgrade(w, r, nil)
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					kind := websocket.BinaryMessage
					if isBase64(d) {
						kind = websocket.TextMessage
					}
					(&messageServer{
						receive: func() ([]byte, error) {
							got, b, err := c.ReadMessage()
							if got != kind {
								t.Errorf("message of kind %d", got)
							}
							return b, err
						},
						send: func(b []byte) error {
							w, err := c.NextWriter(kind)
							if err != nil {
								return err
							}
							w.Write(b[:len(b)/2])
							c.WriteControl(websocket.PingMessage, nil, time.Time{})
							w.Write(b[len(b)/2:])
							return w.Close()
						},
						ping: func() { c.WriteControl(websocket.PingMessage, []byte("ping"), time.Time{}) },
					}).echo(t, d)
					c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
					for err = nil; err == nil; { // reads until the client has closed
						_, _, err = c.ReadMessage()
					}
				}))
				defer srv.Close()
				run(t, srv.Listener.Addr().String(), d.String(), d, stdin).check(t, all, size, failure)
			})
		}
		t.Run(fmt.Sprint("x/net ", d), func(t *testing.T) {
			srv := httptest.NewServer(xnet.Server{
				Handshake: func(c *xnet.Config, _ *http.Request) error { return nil },
				Handler: func(c *xnet.Conn) {
					(&messageServer{
						receive: func() (b []byte, err error) { return b, xnet.Message.Receive(c, &b) },
						send: func(b []byte) error {
							if isBase64(d) {
								return xnet.Message.Send(c, string(b))
							}
							return xnet.Message.Send(c, b)
						},
						ping: func() {
							c.PayloadType = xnet.PingFrame
							c.Write([]byte("ping"))
						},
					}).echo(t, d)
					c.PayloadType = xnet.CloseFrame
					c.Write([]byte("\x03\xe8"))
					for err := error(nil); err == nil; {
						err = xnet.Message.Receive(c, new([]byte))
					}
				},
			})
			defer srv.Close()
			run(t, srv.Listener.Addr().String(), d.String(), d, stdin).check(t, all, size, failure)
		})
	}
}
