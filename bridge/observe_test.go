package bridge_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// witness is an Observer that records how it is called.
type witness struct {
	mu           sync.Mutex
	seen         []*testimony
	refuse       error // the error that the Observer returns for each request; nil: none
	refuseStream error // the error that the Observer returns for each stream; nil: none
}

type testimony struct {
	w          *witness
	said       []string
	credential string
	end        bridge.End
}

func (w *witness) Begin(r *http.Request) bridge.Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, &testimony{w: w, credential: r.Header.Get("Authorization")})
	return w.seen[len(w.seen)-1]
}

func (o *testimony) sayf(format string, args ...any) {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	o.said = append(o.said, fmt.Sprintf(format, args...))
}

func (o *testimony) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	o.sayf("identified %s %v from %s", id.Name, refused, bridge.ClientIP(r))
	return o.w.refuse
}
func (o *testimony) Streaming(s bridge.Stream) error {
	o.sayf("streaming %s", s.Verb)
	return o.w.refuseStream
}
func (o *testimony) Started(code int) { o.sayf("started %d", code) }
func (o *testimony) Ended(e bridge.End) {
	o.end = e
	o.sayf("ended %d in %d cut %v", e.Code, e.In, e.Cut)
}

// account waits for the end of the n-th request, and returns the calls that the Observer recorded
// for it.
func (w *witness) account(world *world, n int) (said string, end bridge.End) {
	world.Helper()
	world.eventually("an end", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.seen) < n || len(w.seen[n-1].said) == 0 || !strings.HasPrefix(w.seen[n-1].said[len(w.seen[n-1].said)-1], "ended") {
			return false
		}
		said, end = strings.Join(w.seen[n-1].said, "; "), w.seen[n-1].end
		return true
	})
	return said, end
}

func TestObserve(t *testing.T) {
	t.Parallel()
	api := plainAPI(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/cut":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/missing":
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, "hello")
		}
	})
	var witness witness
	refused := errors.New("nobody")
	w := newWorld(t, api, func(c *bridge.Config) {
		c.Observe = &witness
		c.Identify = func(r *http.Request) (impersonate.Identity, error) {
			r.Header.Del("Authorization")
			if r.URL.Path == "/nobody" {
				return impersonate.Identity{}, refused
			}
			return jane, nil
		}
	})
	n := 0
	bothVersions(t, func(t *testing.T, http2 bool) {
		for path, want := range map[string]string{
			"/":        "identified jane <nil> from 127.0.0.1; started 200; ended 200 in 6 cut false",
			"/missing": "identified jane <nil> from 127.0.0.1; started 404; ended 404 in 6 cut false",
			"/cut":     "identified jane <nil> from 127.0.0.1; started 200; ended 200 in 6 cut true",
			"/nobody":  "identified  nobody from 127.0.0.1; started 500; ended 500 in 0 cut false",
			"/a/../b":  "identified jane <nil> from 127.0.0.1; started 400; ended 400 in 0 cut false",
		} {
			req := must(http.NewRequest("POST", w.edge.URL+path, strings.NewReader("a body")))
			req.Header.Set("Authorization", "Bearer x")
			if resp, err := w.client(t, http2).Do(req); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			n++
			if said, end := witness.account(w, n); said != want || end.Panic != nil {
				t.Errorf("%s: %s, panic %v\nwant %s", path, said, end.Panic, want)
			}
		}
	})
}

// TestObserverRefuses checks that edge does not serve a request that the Observer refuses, for
// example because it cannot write the audit record.
func TestObserverRefuses(t *testing.T) {
	t.Parallel()
	witness := witness{refuse: errors.New("disk full")}
	w := newWorld(t, plainAPI(func(http.ResponseWriter, *http.Request) { t.Error("reached the API server") }),
		func(c *bridge.Config) { c.Observe = &witness })
	resp := must(w.client(t, true).Get(w.edge.URL))
	resp.Body.Close()
	if said, _ := witness.account(w, 1); resp.StatusCode != 500 || !strings.Contains(said, "ended 500") {
		t.Error(resp.Status, said)
	}
}

// TestObservers checks that Observers returns nil if there is no Observer. If there are several,
// edge must call each for a request, and refuse the request if one of them refuses it.
func TestObservers(t *testing.T) {
	t.Parallel()
	if bridge.Observers() != nil {
		t.Error("Observers() without an Observer is not nil")
	}
	first, second := &witness{refuse: errors.New("disk full")}, new(witness)
	w := newWorld(t, plainAPI(func(http.ResponseWriter, *http.Request) { t.Error("reached the API server") }),
		func(c *bridge.Config) { c.Observe = bridge.Observers(first, second) })
	must(w.client(t, true).Get(w.edge.URL)).Body.Close()
	for _, one := range []*witness{first, second} {
		if said, end := one.account(w, 1); end.Code != 500 || !strings.HasPrefix(said, "identified jane") {
			t.Error(said)
		}
	}
}

// TestObserverRefusesStream checks a stream that an Observer refuses: edge must not request it from
// the API server, which would start the command.
func TestObserverRefusesStream(t *testing.T) {
	t.Parallel()
	denied := apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("not now"))
	witness := witness{refuseStream: denied}
	api := (&apiServer{run: func(*process) error { return nil }}).start(t)
	w := newWorld(t, api, func(c *bridge.Config) { c.Observe = &witness })
	got := clientNamed("websocket v5").do(t, w.edge, command{})
	if got.err == nil || len(api.requests()) != 0 || w.handler.Running() != 0 {
		t.Errorf("%v, after %d requests", got.err, len(api.requests()))
	}
	said, end := witness.account(w, 1)
	if !strings.HasPrefix(said, "identified jane <nil> from 127.0.0.1; streaming exec; started 403; ended 403 in 0") || end.Refusal != bridge.ReasonAudit {
		t.Error(said, end.Refusal)
	}
}

// TestObservePanic checks that an Observer can distinguish a panic in edge from an answer that was
// cut short.
func TestObservePanic(t *testing.T) {
	t.Parallel()
	var witness witness
	w := newWorld(t, plainAPI(func(http.ResponseWriter, *http.Request) {}), func(c *bridge.Config) {
		c.Observe = &witness
		c.Identify = func(r *http.Request) (impersonate.Identity, error) { panic("a bug") }
	})
	if resp, err := w.client(t, false).Get(w.edge.URL); err == nil {
		resp.Body.Close()
		t.Error(resp.Status)
	}
	if said, end := witness.account(w, 1); said != "ended 0 in 0 cut true" || end.Panic != "a bug" {
		t.Error(said, end.Panic)
	}
}

// TestObserveStream checks that the Observer is notified of a stream's start with the 101 and of
// its end with the session's end.
func TestObserveStream(t *testing.T) {
	t.Parallel()
	var witness witness
	api := (&apiServer{run: func(p *process) error {
		fmt.Fprint(p.out, "hello")
		return nil
	}}).start(t)
	w := newWorld(t, api, func(c *bridge.Config) { c.Observe = &witness })
	for n, name := range []string{"spdy v4", "websocket v5"} {
		if got := clientNamed(name).do(t, w.edge, command{}); got.stdout != "hello" || got.err != nil {
			t.Fatal(name, got)
		}
		said, end := witness.account(w, n+1)
		if !strings.HasPrefix(said, "identified jane <nil> from 127.0.0.1; streaming exec; started 101; ended 101") ||
			end.Stream == nil || end.Stream.Cause != bridge.CauseCompleted || end.Stream.ID == "" || end.Stream.Pod != "web" || end.Cut || end.Out == 0 {
			t.Errorf("%s: %s %+v %+v", name, said, end, end.Stream)
		}
	}
}

// TestOwnCredential checks a client whose credential the API server itself accepts. For plain
// requests and for streams, edge must send that credential upstream and not edge's own.
func TestOwnCredential(t *testing.T) {
	t.Parallel()
	api := (&apiServer{run: func(*process) error { return nil }, rest: func(http.ResponseWriter, *http.Request) {}}).start(t)
	w := newWorld(t, api, func(c *bridge.Config) {
		c.Identify = func(r *http.Request) (impersonate.Identity, error) {
			id := impersonate.TokenPassthrough("jane-s-own", &user.DefaultInfo{Name: "jane"}, r.Header)
			r.Header.Del("Authorization")
			return id, nil
		}
	})
	req := must(http.NewRequest("GET", w.edge.URL+"/api", nil))
	req.Header = http.Header{"Impersonate-User": {"bob"}, "Connection": {"Impersonate-User"}, "Authorization": {"Bearer other"}}
	must(w.client(t, false).Do(req)).Body.Close()
	clientNamed("websocket v5").do(t, w.edge, command{})
	seen := api.requests()
	if len(seen) != 2 {
		t.Fatal(len(seen), "requests")
	}
	for _, r := range seen {
		if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer jane-s-own" {
			t.Errorf("%s: %q", r.URL.Path, got)
		}
	}
	if got := seen[0].Header["Impersonate-User"]; len(got) != 1 || got[0] != "bob" {
		t.Errorf("Impersonate-User is %q, not bob", got)
	}
	if got := seen[1].Header["Impersonate-User"]; got != nil {
		t.Errorf("Impersonate-User is set: %q", got)
	}
}
