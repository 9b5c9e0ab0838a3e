package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	upgradeproxy "k8s.io/apimachinery/pkg/util/proxy"
	translate "k8s.io/apiserver/pkg/util/proxy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"edge/internal/testkit"
)

const testToken = "not-to-be-seen"

// server answers exec and port-forward requests for any pod, over TLS. It uses the API server's own
// handlers, with the container runtime's own streaming server behind them. It also serves watches
// of pods.
type server struct {
	echo    func(in io.Reader, out io.Writer) error // what the command or the pod's port does with the data of an exec or port-forward
	refuse  http.HandlerFunc                        // handler that answers all requests instead of the API server's handlers; nil: none
	event   string                                  // the event that a watch sends every 50 ms
	runtime streaming.Server
	front   *httptest.Server
	plain   string // address of a listener without TLS, as host:port
	conns   *connections
	watches atomic.Int32
	http2   atomic.Int32  // number of watches that came over HTTP/2
	watched func(n int32) // called with n when the n-th watch begins; may be nil
}

func newServer(t *testing.T) *server {
	s := &server{echo: copyAll, event: `{"type":"ADDED","object":{"kind":"Pod"}}` + "\n"}
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.runtime.ServeHTTP(w, r) }))
	config := streaming.DefaultConfig
	config.BaseURL = must(url.Parse(inner.URL + "/"))
	s.runtime = must(streaming.NewServer(config, s))
	s.front = httptest.NewUnstartedServer(s)
	s.front.EnableHTTP2 = true
	s.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.conns = &connections{Listener: s.front.Listener}
	s.front.Listener = s.conns
	s.plain = strings.TrimPrefix(inner.URL, "http://")
	testkit.StartTLS(s.front)
	t.Cleanup(func() {
		s.kill()
		s.front.Close()
		inner.CloseClientConnections()
		inner.Close()
	})
	return s
}

// connections is a net.Listener that records all connections that it accepted.
type connections struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, conn)
	}
	return conn, err
}

// kill closes the listener and all connections, as if the server's process had died.
func (s *server) kill() {
	s.conns.Close()
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	for _, conn := range s.conns.all {
		conn.Close()
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func copyAll(in io.Reader, out io.Writer) error {
	_, err := io.Copy(out, in)
	return err
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+testToken {
		http.Error(w, "you are not known, "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case s.refuse != nil:
		s.refuse(w, r)
	case len(part) == 7 && part[6] == "exec":
		s.serveExec(w, r)
	case len(part) == 7 && part[6] == "portforward":
		s.serveForward(w, r)
	case len(part) == 5 && r.URL.Query().Get("watch") == "1":
		s.serveWatch(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) serveExec(w http.ResponseWriter, r *http.Request) {
	answer := must(s.runtime.GetExec(&runtimeapi.ExecRequest{ContainerId: "c", Cmd: r.URL.Query()["command"], Stdin: true, Stdout: true, Stderr: true}))
	location := must(url.Parse(answer.GetUrl()))
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		translate.NewStreamTranslatorHandler(location, nil, 0, translate.Options{Stdin: true, Stdout: true, Stderr: true}).ServeHTTP(w, r)
		return
	}
	upgradeproxy.NewUpgradeAwareHandler(location, nil, false, true, responder{}).ServeHTTP(w, r)
}

func (s *server) serveForward(w http.ResponseWriter, r *http.Request) {
	answer := must(s.runtime.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "p"}))
	pass := upgradeproxy.NewUpgradeAwareHandler(must(url.Parse(answer.GetUrl())), nil, false, true, responder{})
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		translate.NewTunnelingHandler(pass).ServeHTTP(w, r)
		return
	}
	pass.ServeHTTP(w, r)
}

func (s *server) serveWatch(w http.ResponseWriter, r *http.Request) {
	if n := s.watches.Add(1); s.watched != nil {
		s.watched(n)
	}
	if r.ProtoMajor == 2 {
		s.http2.Add(1)
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		// Send each event in two pieces. loadtest must read them as one event.
		io.WriteString(w, s.event[:len(s.event)/2])
		w.(http.Flusher).Flush()
		io.WriteString(w, s.event[len(s.event)/2:])
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// Exec implements streaming.Runtime.
func (s *server) Exec(_ context.Context, _ string, cmd []string, in io.Reader, out, errs io.WriteCloser, _ bool, _ <-chan cri.TerminalSize) error {
	if fmt.Sprint(cmd) != "[cat]" {
		// Read what the session sends before closing: if a TCP connection is closed with unread
		// bytes, TCP resets it, and the client may see the reset before it reads the Status.
		in.Read(make([]byte, 1<<10))
		return fmt.Errorf("no such command: %q", cmd)
	}
	return s.echo(in, out)
}

// Attach implements streaming.Runtime.
func (s *server) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan cri.TerminalSize) error {
	return fmt.Errorf("nothing to attach to")
}

// PortForward implements streaming.Runtime.
func (s *server) PortForward(_ context.Context, _ string, port int32, conn io.ReadWriteCloser) error {
	if port != 7 {
		return fmt.Errorf("nothing listens on port %d", port)
	}
	return s.echo(conn, conn)
}

// args returns the flags for a short load test of the server s, followed by the flags in the
// parameter more.
func (s *server) args(t *testing.T, more ...string) []string {
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	block := testkit.PEM(s.front.Certificate())
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(token, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"--url", s.front.URL, "--certificate-authority", ca, "--token-file", token, "--pod", "p",
		"--ramp", "100ms", "--duration", "500ms", "--timeout", "30s"}, more...)
}

// outcome is the exit code and the output of one call of loadtest.
type outcome struct {
	code           int
	stdout, stderr bytes.Buffer
}

// drive runs loadtest against the server s and checks that its output does not contain the token.
func (s *server) drive(t *testing.T, more ...string) *outcome {
	t.Helper()
	var o outcome
	o.code = execute(t.Context(), s.args(t, more...), &o.stdout, &o.stderr)
	if text := o.stdout.String() + o.stderr.String(); strings.Contains(text, testToken) {
		t.Errorf("the token is shown:\n%s", text)
	}
	return &o
}

func (o *outcome) String() string {
	return "exit code " + strconv.Itoa(o.code) + "\n" + o.stdout.String() + o.stderr.String()
}
