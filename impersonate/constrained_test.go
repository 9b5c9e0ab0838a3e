package impersonate

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
)

// offering starts an API server with the impersonation filter in the parameter through, which is
// the plain or the constrained one. It counts the requests in asked.
func offering(t *testing.T, through filter, may authorizer.UnconditionalAuthorizer, asked *atomic.Int64) *httptest.Server {
	t.Helper()
	filtered := through(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it went through") }), may)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer edge's own" || r.URL.Path != "/version" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		ctx := request.WithUser(r.Context(), &user.DefaultInfo{Name: "edge"})
		filtered.ServeHTTP(w, r.WithContext(request.WithRequestInfo(ctx, version)))
	}))
	t.Cleanup(server.Close)
	return server
}

func detectorOf(t *testing.T, server *httptest.Server, log *slog.Logger) *ConstrainedDetector {
	t.Helper()
	cfg := &rest.Config{Host: server.URL, BearerToken: "edge's own"}
	upstream, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return NewConstrainedDetector(cfg, upstream, log)
}

// TestConstrainedIsDetected checks that edge detects which impersonation filter an API server has,
// plain or constrained. The result must not depend on edge's rights, and edge must detect only once
// in ten minutes.
func TestConstrainedIsDetected(t *testing.T) {
	for name, through := range map[string]filter{"plain": plainFilter, "constrained": constrainedFilter} {
		for rights, may := range map[string]authorizer.UnconditionalAuthorizer{
			"all":  authorizerfactory.NewAlwaysAllowAuthorizer(),
			"none": authorizerfactory.NewAlwaysDenyAuthorizer(),
		} {
			var asked atomic.Int64
			c := &clock{now: time.Unix(1, 0)}
			server := offering(t, through, may, &asked)
			d := detectorOf(t, server, slog.New(slog.DiscardHandler))
			d.now = c.Now
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if got := d.Offered(t.Context()); got != (name == "constrained") {
						t.Errorf("%s, with %s rights: %v", name, rights, got)
					}
				})
			}
			all.Wait()
			c.move(constrainedAge - time.Second)
			d.Offered(t.Context())
			if asked.Load() != 1 {
				t.Errorf("asked %d times", asked.Load())
			}
			c.move(2 * time.Second)
			d.Offered(t.Context())
			if asked.Load() != 2 {
				t.Errorf("asked %d times after ten minutes", asked.Load())
			}
		}
	}
}

// TestConstrainedDetectionFails checks failed detections of constrained impersonation: the previous
// result stays, the result is false at first, and edge tries again after a minute. It also checks
// that edge sends its token to no other host.
func TestConstrainedDetectionFails(t *testing.T) {
	var elsewhere, asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	good := offering(t, constrainedFilter, authorizerfactory.NewAlwaysDenyAuthorizer(), &asked)
	var answer atomic.Pointer[http.HandlerFunc]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) }))
	t.Cleanup(server.Close)
	var log bytes.Buffer
	c := &clock{now: time.Unix(1, 0)}
	d := detectorOf(t, server, slog.New(slog.NewTextHandler(&log, nil)))
	d.now = c.Now
	say := func(f http.HandlerFunc) { answer.Store(&f) }

	for name, fails := range map[string]http.HandlerFunc{
		"200":         func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("without impersonating a user name")) },
		"another 400": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Bad Request", http.StatusBadRequest) },
		"500":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"a cut answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		say(fails)
		if d.Offered(t.Context()) {
			t.Errorf("%s: taken for an offer", name)
		}
		c.move(failureAge + time.Second)
	}
	say(good.Config.Handler.ServeHTTP)
	if !d.Offered(t.Context()) {
		t.Error("not asked again after a minute")
	}
	c.move(constrainedAge + time.Second)
	say(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if !d.Offered(t.Context()) {
		t.Error("one failure and it is forgotten")
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	if said := log.String(); strings.Count(said, "\n") != 6 || strings.Contains(said, "edge's own") {
		t.Errorf("the log says %s", said)
	}
}

// TestConstrainedDetectionIsRefused checks that edge tries again to detect constrained
// impersonation after 5 s if an API server refused edge's credential.
func TestConstrainedDetectionIsRefused(t *testing.T) {
	var asked atomic.Int64
	good := offering(t, constrainedFilter, authorizerfactory.NewAlwaysDenyAuthorizer(), &asked)
	var refuses atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses.Load() {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		good.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c := &clock{now: time.Unix(1, 0)}
	d := detectorOf(t, server, slog.New(slog.DiscardHandler))
	d.now = c.Now
	refuses.Store(true)
	if d.Offered(t.Context()) {
		t.Error("a refusal is an offer")
	}
	refuses.Store(false)
	c.move(refusedAge)
	if !d.Offered(t.Context()) {
		t.Error("not asked again")
	}
}

// TestConstrainedDetectionWaitersMayLeave checks callers that wait for another caller's detection
// of constrained impersonation while the API server hangs: each returns as soon as its context
// ends.
func TestConstrainedDetectionWaitersMayLeave(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	hangs := roundTripper(func(r *http.Request) (*http.Response, error) {
		close(arrived) // panics if a second detection request arrives
		defer ended.Store(true)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return nil, errors.New("no answer")
	})
	d := NewConstrainedDetector(&rest.Config{Host: "https://api"}, hangs, slog.New(slog.DiscardHandler))
	asker := make(chan bool, 1)
	go func() { asker <- d.Offered(t.Context()) }()
	<-arrived
	gone, leave := context.WithCancel(t.Context())
	leave()
	if d.Offered(gone) {
		t.Error("what nobody knows yet is offered")
	}
	if ended.Load() {
		t.Error("a caller that had left waited for another's question")
	}
	close(release)
	if <-asker {
		t.Error("no answer is an offer")
	}
}
