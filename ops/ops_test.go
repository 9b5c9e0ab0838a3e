package ops_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"edge/ops"
)

func TestReady(t *testing.T) {
	var reason error
	var notes []string
	server := httptest.NewServer(ops.NewServer(func() error { return reason }, func() []string { return notes }).Handler)
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

// An API server is ready when it answers, and edge is known there.
func TestAPIServer(t *testing.T) {
	var code atomic.Int32
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || r.Header.Get("Authorization") != "Bearer of-edge" {
			t.Error(r.URL.Path, "with another credential than edge's")
		}
		w.WriteHeader(int(code.Load()))
	}))
	defer api.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	cfg := &rest.Config{Host: api.URL, BearerToken: "of-edge", TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	for answer, c := range map[int]struct {
		credential bool
		want       string
	}{
		200: {true, ""}, 403: {true, ""}, 401: {true, "credential"}, 500: {true, "not ready"}, 503: {true, "503"}, 404: {false, ""},
	} {
		code.Store(int32(answer))
		a, err := ops.NewAPIServer(cfg, c.credential, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Ready(); err == nil {
			t.Error("ready before the API server was asked")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		for (a.Ready() == nil) != (c.want == "") || c.want != "" && !strings.Contains(a.Ready().Error(), c.want) {
			if ctx.Err() != nil {
				t.Errorf("%d: %v, want %q", answer, a.Ready(), c.want)
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-ended
	}
}

// Edge's credential goes to the API server and nowhere else.
func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Error("asked elsewhere, with", r.Header["Authorization"])
	}))
	defer elsewhere.Close()
	asked := make(chan bool, 1)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		select {
		case asked <- true:
		default:
		}
	}))
	defer api.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	cfg := &rest.Config{Host: api.URL, BearerToken: "of-edge", TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	a, err := ops.NewAPIServer(cfg, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	<-asked
	for end := time.Now().Add(10 * time.Second); a.Ready() != nil && time.Now().Before(end); { // until the answer is read
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
}
