package ops_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/internal/testkit"
	"edge/ops"
)

// TestReady checks the answers to GET /ready, with and without notes and with an error of the
// function ready, to GET /live, and to an unknown path.
func TestReady(t *testing.T) {
	var reason error
	var notes []string
	server := httptest.NewServer(ops.NewServer(ops.Options{Ready: func() error { return reason }, Notes: func() []string { return notes }}).Handler)
	defer server.Close()
	get := func(path string) (int, string) {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := get("/ready"); code != 200 || body != "ok\n" {
		t.Error(code, body)
	}
	notes = []string{"the issuer is down"}
	if code, body := get("/ready"); code != 200 || body != "ok\nthe issuer is down\n" {
		t.Error(code, body)
	}
	reason = errors.New("no keys")
	if code, body := get("/ready"); code != 503 || body != "no keys\n" {
		t.Error(code, body)
	}
	if code, body := get("/live"); code != 200 || body != "ok\n" {
		t.Error(code, body)
	}
	if code, _ := get("/metrics"); code != 404 {
		t.Error(code)
	}
}

// checkOf returns an APIServer that checks the test server api and sends edge's credential.
func checkOf(t *testing.T, api *httptest.Server, needed bool, log *slog.Logger) *ops.APIServer {
	t.Helper()
	ca := testkit.PEM(api.Certificate())
	cfg := &rest.Config{Host: api.URL, BearerToken: "of-edge", TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	own, err := bridge.NewCredential(bridge.CredentialConfig{Upstream: cfg, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	a, err := ops.NewAPIServer(own, needed, log)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// run runs the check a until its Ready returns an error whose text contains the parameter want, or
// nil if that is "". It fails the test after a minute.
func run(t *testing.T, a *ops.APIServer, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { a.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	for {
		err := a.Ready()
		if want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want) {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("%v, want %q", err, want)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestAPIServer checks which answers of the API server make edge ready: all but 502, 503, 504 and,
// if edge needs its credential, 401.
func TestAPIServer(t *testing.T) {
	var code atomic.Int32
	api := testkit.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" || r.Header.Get("Authorization") != "Bearer of-edge" {
			t.Error(r.URL.Path, "with", r.Header["Authorization"])
		}
		w.WriteHeader(int(code.Load()))
	}))
	defer api.Close()
	for answer, c := range map[int]struct {
		needed bool
		want   string
	}{
		200: {true, ""}, 403: {true, ""}, 404: {false, ""}, 429: {true, ""}, 500: {true, ""},
		401: {true, "does not accept edge's own credential"}, -401: {false, ""}, 502: {true, "502"}, 503: {true, "503"}, 504: {true, "504"},
	} {
		code.Store(int32(max(answer, -answer)))
		a := checkOf(t, api, c.needed, slog.New(slog.DiscardHandler))
		if err := a.Ready(); err == nil {
			t.Error("ready before the API server was asked")
		}
		run(t, a, c.want)
	}
}

// TestAnotherConnectionIsAsked checks that a failed check of the API server is repeated at once on
// a new connection: the open connection may lead to an API server that is down while another one
// serves.
func TestAnotherConnectionIsAsked(t *testing.T) {
	var conns, answers sync.Map
	var kept atomic.Int64
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first, _ := conns.Load(r.RemoteAddr); first == true { // from its second request on, the first connection gets 502
			if _, again := answers.LoadOrStore(r.RemoteAddr, true); again {
				kept.Add(1)
				w.WriteHeader(http.StatusBadGateway)
			}
		}
	}))
	var accepted atomic.Int64
	api.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Store(c.RemoteAddr().String(), accepted.Add(1) == 1)
		}
	}
	testkit.StartTLS(api)
	defer api.Close()
	a := checkOf(t, api, true, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { a.Run(ctx); close(ended) }()
	ready := false
	for kept.Load() == 0 && ctx.Err() == nil {
		switch err := a.Ready(); {
		case err == nil:
			ready = true
		case ready:
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	for accepted.Load() < 2 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := a.Ready(); err != nil || !ready || ctx.Err() != nil {
		t.Error(err, ready, ctx.Err())
	}
	cancel()
	<-ended
}

// TestARedirectIsNotFollowed checks that a check of the API server does not follow redirects:
// edge's credential goes to the API server and to no other host.
func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Error("asked elsewhere, with", r.Header["Authorization"])
	}))
	defer elsewhere.Close()
	api := testkit.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer api.Close()
	run(t, checkOf(t, api, true, slog.New(slog.DiscardHandler)), "")
}

// TestRefusalIsToldAtOnce checks when failed checks make edge not ready: one 401 does, because
// edge's credential is refused, but only three answers of 502 in a row do.
func TestRefusalIsToldAtOnce(t *testing.T) {
	for code, rounds := range map[int32]int32{401: 1, 502: 3} {
		var answer, asked atomic.Int32
		answer.Store(200)
		api := testkit.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && answer.Load() == code {
				asked.Add(1)
			}
			w.WriteHeader(int(answer.Load()))
		}))
		a := checkOf(t, api, true, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		await := func(ready bool) {
			for (a.Ready() == nil) != ready && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		await(true)
		answer.Store(code)
		await(false)
		// Each check sends one request on an open connection and one on a new connection.
		if n := asked.Load(); n != 2*rounds || ctx.Err() != nil {
			t.Errorf("%d: asked %d times, %v", code, n, ctx.Err())
		}
		cancel()
		<-ended
		api.Close()
	}
}
