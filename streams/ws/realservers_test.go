package ws_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/tools/portforward"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"edge/streams"
	"edge/streams/ws"
)

// container is a process in a container; its value is the exit code. The process writes its first
// terminal size to stdout if it has a tty, and copies stdin to stdout. It ends after "exit" or at
// the end of stdin. If the exit code is not 0 and there is no tty, the process writes "failed" to
// stderr.
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

// serve returns the exec server of the container runtime, which runs the process c.
func (c container) serve(tty bool) http.Handler {
	opts := &cri.Options{Stdin: true, Stdout: true, Stderr: !tty, TTY: tty}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cri.ServeExec(w, r, c, "pod", "uid", "container", nil, opts, time.Minute, 10*time.Second, []string{"v4.channel.k8s.io"})
	})
}

// exitError is the error with which the container runtime reports an exit code.
type exitError int

func (e exitError) Error() string   { return fmt.Sprint("exit ", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }

// TestRealServers checks exec sessions between this package's client side and real servers: the
// container runtime's server in every dialect, and the API server's v5 server in front of the
// runtime's.
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

// TestTunnelServer checks that a client's Tunnel works with the tunnel server of client-go and the
// API server. Inside the tunnel, both sides use moby/spdystream.
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
