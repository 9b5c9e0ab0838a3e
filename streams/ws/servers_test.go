package ws_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"edge/streams"
	"edge/streams/ws"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/tools/portforward"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// shake does a client's handshake with a server and returns the connection, and
// what is read from it.
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

// session is what a client heard, by stream.
type session struct {
	stdout, stderr bytes.Buffer
	status         string
	code           int // of the Close; -1: none
}

// run is a client that sends stdin, a terminal's size and the end of stdin, as
// far as the dialect can say it, and listens to the end.
func run(t *testing.T, addr, subprotocol string, d ws.Dialect, stdin [][]byte) *session {
	t.Helper()
	c, from := shake(t, addr, subprotocol)
	w := &wire{c: c}
	r := streams.NewReader(from, nil)
	defer r.Close()
	source, sink := ws.NewExecClientSource(r, w, d), ws.NewExecClientSink(w, d)
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
			for _, f := range frames { // none after the last: a server that closes may have left it unread
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

// script is stdin for a process that ends with it, and all of it. Where stdin has
// no end, "exit" is one.
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

// messageServer is a server's side of a message protocol: gorilla's, or x/net's.
type messageServer struct {
	receive func() ([]byte, error)
	send    func([]byte) error
	ping    func()
}

// echo says stdin to stdout, sizes to stderr, and ends with stdin.
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

// What our client says, gorilla's and x/net's servers understand, and we them.
func TestMessageServers(t *testing.T) {
	for _, d := range dialects {
		stdin, all := script(d)
		for _, buffer := range []int{16, 1000, 40000} { // gorilla fragments what is longer
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
					for err = nil; err == nil; { // until our client is done
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

// container says its terminal's first size to its stderr, its stdin to its
// stdout, and ends with an exit code after "exit" or stdin's end.
type container int

func (c container) ExecInContainer(_ context.Context, _, _, _ string, _ []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan cri.TerminalSize, _ time.Duration) error {
	if tty {
		fmt.Fprint(out, <-resize)
	}
	b := make([]byte, 100_000)
	for {
		n, err := in.Read(b)
		out.Write(b[:n])
		if bytes.HasSuffix(b[:n], []byte("exit")) {
			break
		}
		if err != nil {
			break
		}
	}
	if c == 0 {
		return nil
	}
	if errOut != nil && !tty {
		fmt.Fprint(errOut, "failed")
	}
	return exitError(c)
}

// serve is the container runtime's server of exec.
func (c container) serve(tty bool) http.Handler {
	opts := &cri.Options{Stdin: true, Stdout: true, Stderr: !tty, TTY: tty}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cri.ServeExec(w, r, c, "pod", "uid", "container", nil, opts, time.Minute, 10*time.Second, []string{"v4.channel.k8s.io"})
	})
}

// exitError is what the runtime gives for an exit code.
type exitError int

func (e exitError) Error() string   { return fmt.Sprint("exit ", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }

// The container runtime's server, in every dialect that it has, and the API
// server's in v5, in front of the runtime, understand our client, and we them.
func TestRealServers(t *testing.T) {
	for _, tty := range []bool{false, true} {
		for _, code := range []container{0, 7} {
			for _, d := range dialects {
				stdin, all := script(d)
				for _, subprotocol := range []string{d.String(), ""} {
					if subprotocol == "" && d != ws.V1Channel {
						continue
					}
					t.Run(fmt.Sprintf("%q tty %v code %d", subprotocol, tty, code), func(t *testing.T) {
						srv := httptest.NewServer(code.serve(tty))
						defer srv.Close()
						addr := srv.Listener.Addr().String()
						if d == ws.V5Channel {
							location := &url.URL{Scheme: "http", Host: addr}
							api := httptest.NewServer(proxy.NewStreamTranslatorHandler(location, http.DefaultTransport, 0,
								proxy.Options{Stdin: true, Stdout: true, Stderr: !tty, Tty: tty}))
							defer api.Close()
							addr = api.Listener.Addr().String()
						}
						got := run(t, addr, subprotocol, d, stdin)
						in := `"status":"Success"`
						switch plain := d == ws.V1Channel || d == ws.V1Base64Channel; {
						case plain && code == 0:
							in = ""
							if got.status != "" {
								t.Errorf("status %q", got.status)
							}
						case plain:
							in = "command terminated with non-zero exit code"
						case code != 0:
							in = `"message":"7"`
						}
						if !strings.Contains(got.status, in) {
							t.Errorf("status %q", got.status)
						}
						stdout, stderr := all, ""
						if tty {
							stdout = append([]byte("{80 24}"), all...)
						} else if code != 0 {
							stderr = "failed"
						}
						got.check(t, stdout, stderr, got.status)
					})
				}
			}
		}
	}
}

// The tunnel of client-go's and the API server's, with spdystream in it on both
// sides, carries what our client's Tunnel says.
func TestTunnelServer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{ws.TunnelPortForward}, CheckOrigin: func(*http.Request) bool { return true }}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", c), func(s httpstream.Stream, replied <-chan struct{}) error {
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
	}))
	defer srv.Close()
	c, from := shake(t, srv.Listener.Addr().String(), ws.TunnelPortForward)
	w := &wire{c: c}
	tun := ws.NewClientTunnel(from, w, w)
	conn, err := spdy.NewClientConnection(&tunnelConn{c, tun})
	if err != nil {
		t.Fatal(err)
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
	tun.WriteClose(streams.CloseNormal)
	conn.Close()
}
