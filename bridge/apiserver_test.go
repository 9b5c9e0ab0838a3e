package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	upgradeproxy "k8s.io/apimachinery/pkg/util/proxy"
	translate "k8s.io/apiserver/pkg/util/proxy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// process describes a process in the container. The test's function apiServer.run gets it as its
// argument, and reads stdin and writes output in place of a real process.
type process struct {
	ctx      context.Context
	args     []string
	in       io.Reader // nil: no stdin
	out, err io.WriteCloser
	tty      bool
	resize   <-chan cri.TerminalSize
}

// exitError is the error with which a container runtime reports an exit code.
type exitError int

func (e exitError) Error() string   { return fmt.Sprintf("exit status %d", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }

// apiServer is an API server for tests. It answers exec, attach and port-forward for every pod as a
// real API server does: it puts the API server's own proxies in front of the container runtime's
// own streaming server. SPDY v1 to v4 and WebSocket v1 and v4 pass untranslated, WebSocket v5 is
// translated, and tunnels (SPDY inside WebSocket) are unwrapped.
type apiServer struct {
	run      func(*process) error                    // runs in place of the process of an exec or attach
	forward  func(port int32, c io.ReadWriter) error // serves one connection of a port-forward
	rest     http.HandlerFunc                        // answers requests for all other paths
	refuse   http.HandlerFunc                        // if set, answers every request for a stream
	bare     bool                                    // true: no API server's proxy is in front of the container runtime
	old      bool                                    // true: behave like an API server before 1.30, without WebSocket v5 and the tunnel
	patience time.Duration                           // how long the runtime waits for a client to open its streams; a value below runtimePatience has no effect
	release  string                                  // the release that /version reports; "": /version answers 403

	runtime streaming.Server

	mu   sync.Mutex
	seen []*http.Request
}

// start starts the container runtime's streaming server behind the API server. It runs until the
// test ends.
func (a *apiServer) start(t testing.TB) *apiServer {
	lazy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.runtime.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		lazy.CloseClientConnections()
		lazy.Close()
	})
	cfg := streaming.DefaultConfig
	cfg.StreamCreationTimeout = max(a.patience, runtimePatience)
	cfg.BaseURL = must(url.Parse(lazy.URL + "/"))
	a.runtime = must(streaming.NewServer(cfg, a))
	return a
}

// version answers edge's own request GET /version. Such requests are not stored in the field seen.
func (a *apiServer) version(w http.ResponseWriter) {
	if a.release == "" {
		writeJSON(w, http.StatusForbidden, "{}")
		return
	}
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"major":"1","gitVersion":%q}`, a.release))
}

// requests returns the requests that have reached the API server so far, without their bodies.
func (a *apiServer) requests() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*http.Request(nil), a.seen...)
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/version" && r.Header.Get("Impersonate-User") == "" {
		a.version(w)
		return
	}
	a.mu.Lock()
	a.seen = append(a.seen, r.Clone(context.Background()))
	a.mu.Unlock()
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case len(part) == 7 && part[4] == "pods" && a.refuse != nil:
		a.refuse(w, r)
	case len(part) == 7 && part[4] == "pods":
		a.stream(w, r, part[6])
	case a.rest != nil:
		a.rest(w, r)
	default:
		http.NotFound(w, r)
	}
}

// stream serves one subresource of a pod: exec, attach or portforward.
func (a *apiServer) stream(w http.ResponseWriter, r *http.Request, verb string) {
	q := r.URL.Query()
	set := translate.Options{Stdin: asked(q, "stdin"), Stdout: asked(q, "stdout"), Tty: asked(q, "tty")}
	set.Stderr = asked(q, "stderr") && !set.Tty
	location, err := a.locate(verb, q, set)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if a.bare {
		inner := r.Clone(r.Context())
		inner.URL = location
		a.runtime.ServeHTTP(w, inner)
		return
	}
	pass := upgradeproxy.NewUpgradeAwareHandler(location, nil, false, true, responder{})
	switch {
	case a.old:
		a.pass(pass, w, r)
	case verb == "portforward" && wsstream.IsWebSocketRequestWithTunnelingProtocol(r):
		translate.NewTunnelingHandler(pass).ServeHTTP(w, r)
	case verb != "portforward" && wsstream.IsWebSocketRequestWithStreamCloseProtocol(r):
		translate.NewStreamTranslatorHandler(location, nil, 0, set).ServeHTTP(w, r)
	default:
		a.pass(pass, w, r)
	}
}

// pass forwards a stream to the container runtime without translating it.
func (a *apiServer) pass(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	if !httpstream.IsUpgradeRequest(r) {
		writeJSON(w, http.StatusBadRequest, upgradeRequired)
		return
	}
	proxy.ServeHTTP(w, r)
}

// asked returns the boolean value of the query parameter key, for example stdin. It parses the
// value exactly as the API server does.
func asked(q url.Values, key string) (yes bool) {
	values := q[key]
	if err := runtime.Convert_Slice_string_To_bool(&values, &yes, nil); err != nil {
		panic(err)
	}
	return yes
}

// upgradeRequired is the body of the API server's answer to a stream request without the Upgrade
// header.
const upgradeRequired = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Upgrade request required","reason":"BadRequest","code":400}`

// locate requests from the container runtime the URL at which the runtime serves the stream.
func (a *apiServer) locate(verb string, q url.Values, set translate.Options) (*url.URL, error) {
	var location string
	switch verb {
	case "exec":
		answer, err := a.runtime.GetExec(&runtimeapi.ExecRequest{ContainerId: "c", Cmd: q["command"],
			Stdin: set.Stdin, Stdout: set.Stdout, Stderr: set.Stderr, Tty: set.Tty})
		if err != nil {
			return nil, err
		}
		location = answer.GetUrl()
	case "attach":
		answer, err := a.runtime.GetAttach(&runtimeapi.AttachRequest{ContainerId: "c",
			Stdin: set.Stdin, Stdout: set.Stdout, Stderr: set.Stderr, Tty: set.Tty})
		if err != nil {
			return nil, err
		}
		location = answer.GetUrl()
	case "portforward":
		var ports []int32
		for _, text := range q["ports"] {
			ports = append(ports, int32(must(strconv.Atoi(text))))
		}
		answer, err := a.runtime.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "p", Port: ports})
		if err != nil {
			return nil, err
		}
		location = answer.GetUrl()
	default:
		return nil, fmt.Errorf("no subresource %q", verb)
	}
	return url.Parse(location)
}

// responder answers a request whose upgrade has failed: with 502 and the error's text.
type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// Exec implements streaming.Runtime.
func (a *apiServer) Exec(ctx context.Context, _ string, cmd []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan cri.TerminalSize) error {
	return a.run(&process{ctx: ctx, args: cmd, in: in, out: out, err: err, tty: tty, resize: resize})
}

// Attach implements streaming.Runtime.
func (a *apiServer) Attach(ctx context.Context, _ string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan cri.TerminalSize) error {
	return a.Exec(ctx, "", []string{"attached"}, in, out, err, tty, resize)
}

// PortForward implements streaming.Runtime.
func (a *apiServer) PortForward(_ context.Context, _ string, port int32, c io.ReadWriteCloser) error {
	if a.forward == nil {
		return fmt.Errorf("nothing listens on port %d", port)
	}
	return a.forward(port, c)
}

func writeJSON(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	io.WriteString(w, body)
}
