package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"edge/bridge"
)

const reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

// guarded is an API server that accepts one credential. It counts the SelfSubjectReviews by which
// edge checks its own credential.
type guarded struct {
	accepts   atomic.Value // the token that guarded accepts, a string
	questions atomic.Int32
	processed atomic.Int32
	behind    http.HandlerFunc
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question := r.URL.Path == reviewPath && r.Header.Get("Impersonate-User") == ""
	if question {
		g.questions.Add(1)
	}
	if r.Header.Get("Authorization") != "Bearer "+g.accepts.Load().(string) {
		w.Header().Set("Audit-Id", "of-the-401")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
		return
	}
	if question {
		w.WriteHeader(http.StatusCreated)
		return
	}
	g.processed.Add(1)
	g.behind(w, r)
}

// tokenWorld starts edge with an own credential that it reads from a file. replace writes a new
// token to that file.
func tokenWorld(t *testing.T, g *guarded, change ...func(*bridge.Config)) (w *world, own *bridge.Credential, replace func(string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	replace = func(token string) {
		t.Helper()
		next := file + ".next"
		if err := os.WriteFile(next, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	replace("first")
	g.accepts.Store("first")
	w = &world{T: t, api: serveTLS(t, versioned{g}), log: new(syncBuffer)}
	upstream := configFor(w.api)
	upstream.BearerTokenFile = file
	own = must(bridge.NewCredential(bridge.CredentialConfig{Upstream: upstream}))
	w.front(nil, append(change, func(c *bridge.Config) { c.Credential = own })...)
	return w, own, replace
}

func echoBody(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s as %s: %s", r.Method, r.Header.Get("Impersonate-User"), body)
}

// statusOf reads an answer that must be a Status of edge's own.
func statusOf(t *testing.T, resp *http.Response) metav1.Status {
	t.Helper()
	defer resp.Body.Close()
	var s metav1.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.Code != int32(resp.StatusCode) || !strings.HasPrefix(s.Message, "edge: ") {
		t.Errorf("%s with %+v, %v", resp.Status, s, err)
	}
	return s
}

// TestOwnCredentialIsReadAgain checks that edge reads its token file again when the API server no
// longer accepts the old token. All requests, including those with a body, must succeed.
func TestOwnCredentialIsReadAgain(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, http2 bool) {
		g := &guarded{behind: echoBody}
		w, own, replace := tokenWorld(t, g)
		client := w.client(t, http2)
		for n := range 3 {
			token := fmt.Sprint("token-", n)
			replace(token)
			g.accepts.Store(token)
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					method, body := http.MethodPost, strings.Repeat("x", i*10_000)
					if i == 0 {
						method = http.MethodGet
					}
					req := must(http.NewRequest(method, w.edge.URL+"/api/v1/pods", strings.NewReader(body)))
					resp, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if got, want := string(must(io.ReadAll(resp.Body))), method+" as jane: "+body; got != want {
						t.Errorf("%s %.100q, want %.100q", resp.Status, got, want)
					}
				})
			}
			all.Wait()
			// One SelfSubjectReview is about the old token, and one about the new token.
			if n := g.questions.Swap(0); n != 2 {
				t.Errorf("%d questions", n)
			}
		}
		if g.processed.Load() != 3*8 || own.Ready() != nil {
			t.Errorf("%d requests, %v", g.processed.Load(), own.Ready())
		}
	})
}

// TestOwnCredentialIsRefused checks what clients receive while the API server refuses edge's own
// credential: a 503 with the reason and never a 401, while edge is not ready. As soon as the API
// server accepts the credential again, requests succeed and edge is ready.
func TestOwnCredentialIsRefused(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, http2 bool) {
		g := &guarded{behind: echoBody}
		w, own, _ := tokenWorld(t, g)
		g.accepts.Store("another")
		client := w.client(t, http2)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp := must(client.Do(must(http.NewRequest(method, w.edge.URL+"/api", strings.NewReader("body")))))
			s := statusOf(t, resp)
			if s.Code != 503 || !strings.Contains(s.Message, "edge's own credential") || s.Reason != metav1.StatusReasonServiceUnavailable ||
				resp.Header.Get("Retry-After") == "" || resp.Header.Get("Audit-Id") != "of-the-401" || len(resp.Header["Www-Authenticate"]) > 0 {
				t.Errorf("%s: %+v, %v", method, s, resp.Header)
			}
		}
		if err := own.Ready(); !errors.Is(err, bridge.ErrRefused) {
			t.Errorf("ready: %v", err)
		}
		if n := g.questions.Load(); n != 2 {
			t.Errorf("%d questions", n)
		}
		for name, header := range map[string]http.Header{
			"websocket": {"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {"v5.channel.k8s.io"}},
			"spdy": {"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {"v4.channel.k8s.io"}},
		} {
			req := must(http.NewRequest("POST", podURL(w.edge, "exec", "command=x&stdout=true").String(), nil))
			if req.Header = header; name == "websocket" {
				req.Method = "GET"
			}
			resp := must(w.client(t, false).Do(req))
			if s := statusOf(t, resp); s.Code != 503 || !strings.Contains(s.Message, "edge's own credential") || resp.Header.Get("Audit-Id") != "of-the-401" {
				t.Errorf("%s: %+v %v", name, s, resp.Header)
			}
		}
		if n := g.processed.Load(); n != 0 {
			t.Errorf("%d requests were processed", n)
		}
		g.accepts.Store("first")
		resp := must(client.Get(w.edge.URL + "/api"))
		if resp.Body.Close(); resp.StatusCode != 200 || own.Ready() != nil {
			t.Errorf("afterwards: %s, %v", resp.Status, own.Ready())
		}
	})
}

// TestOwnCredentialIsRefusedOverWebSocket checks that a client of exec gets the 503 also if edge uses
// WebSocket upstream: nothing was done, although the request has reached the API server.
func TestOwnCredentialIsRefusedOverWebSocket(t *testing.T) {
	t.Parallel()
	g := &guarded{behind: echoBody}
	w, _, _ := tokenWorld(t, g, speaking(bridge.StreamingWebSocket))
	g.accepts.Store("another")
	for _, c := range execClients {
		if got := c.do(t, w.edge, command{}); got.err == nil || !strings.Contains(got.err.Error(), "edge's own credential") {
			t.Errorf("%s: ended with %v", c.name, got.err)
		}
	}
}

// TestSomebodyElses401 checks that the 401 of a kubelet, a pod or an aggregated API server passes
// unchanged. For 20 such answers at the same time, edge must check its own credential with the API
// server only once.
func TestSomebodyElses401(t *testing.T) {
	t.Parallel()
	g := &guarded{behind: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Audit-Id", "1")
		w.Header().Set("Www-Authenticate", `Basic realm="a pod"`)
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "who are you")
	}}
	w, own, _ := tokenWorld(t, g)
	client := w.client(t, true)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			resp, err := client.Post(podURL(w.edge, "proxy", "").String(), "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body := must(io.ReadAll(resp.Body)); resp.StatusCode != 401 || string(body) != "who are you" ||
				resp.Header.Get("Audit-Id") != "1" || resp.Header.Get("Www-Authenticate") != `Basic realm="a pod"` {
				t.Errorf("%s %v %q", resp.Status, resp.Header, body)
			}
		})
	}
	all.Wait()
	if q, n := g.questions.Load(), g.processed.Load(); q != 1 || n != 20 {
		t.Errorf("%d questions, %d requests of 20", q, n)
	}
	if err := own.Ready(); err != nil {
		t.Error(err)
	}
}

// TestBodyThatIsGone checks a request that the API server refuses with 401 because of edge's own
// credential, and that edge cannot send again, because edge no longer has the whole body. edge must
// not send half of the body. It must answer 503 with a message that nothing was done.
func TestBodyThatIsGone(t *testing.T) {
	t.Parallel()
	g := &guarded{behind: echoBody}
	w, own, replace := tokenWorld(t, g)
	replace("second")
	g.accepts.Store("second")
	body := struct{ io.Reader }{bytes.NewReader(make([]byte, 3<<20))}
	resp := must(w.client(t, true).Post(w.edge.URL+"/api", "text/plain", body))
	// If the 401 arrives before edge has discarded any of the body, edge sends the whole body
	// again.
	if resp.StatusCode == 200 {
		got := must(io.ReadAll(resp.Body))
		if len(got) < 3<<20 {
			t.Errorf("%d bytes arrived", len(got))
		}
		return
	}
	if s := statusOf(t, resp); s.Code != 503 || !strings.Contains(s.Message, "Nothing was done: try again") || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%+v", s)
	}
	if g.processed.Load() != 0 || own.Ready() != nil {
		t.Errorf("%d processed, %v", g.processed.Load(), own.Ready())
	}
}

// fake is a transport without a network, so that synctest can control the time.
type fake func(*http.Request) (*http.Response, error)

func (f fake) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answered(r *http.Request, code int) *http.Response {
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Body: http.NoBody, Request: r}
}

// wrapped returns a transport that sends edge's credential, and whose API server is the function
// api.
func wrapped(change func(*bridge.CredentialConfig), api fake) (*bridge.Credential, http.RoundTripper) {
	cfg := bridge.CredentialConfig{Upstream: &rest.Config{Host: "https://api.example/prefix", BearerToken: "own"}}
	if change != nil {
		change(&cfg)
	}
	own := must(bridge.NewCredential(cfg))
	return own, must(own.Wrap(must(rest.HTTPWrappersForConfig(own.Config(), api)), func() {}))
}

func impersonating(ctx context.Context) *http.Request {
	req := must(http.NewRequestWithContext(ctx, "GET", "https://api.example/prefix/api", nil))
	req.Header.Set("Impersonate-User", "jane")
	return req
}

func isQuestion(r *http.Request) bool { return r.URL.Path == "/prefix"+reviewPath }

// TestVerdictIsRemembered checks that edge stores for five seconds whether the API server accepts a
// credential, and that this does not affect another credential.
func TestVerdictIsRemembered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ question, before, after int }{
		"holds":       {201, 1, 2},
		"may not ask": {403, 1, 2},
		"cannot ask":  {404, 1, 2},
		"refused":     {401, 2, 4},
		// The API server does not answer whether it accepts the credential: edge sends another
		// SelfSubjectReview for each request.
		"not known":     {503, 2, 3},
		"an old server": {405, 1, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			questions := 0
			_, via := wrapped(nil, func(r *http.Request) (*http.Response, error) {
				if isQuestion(r) {
					questions++
					return answered(r, c.question), nil
				}
				return answered(r, 401), nil
			})
			ask := func(want int) {
				t.Helper()
				resp, err := via.RoundTrip(impersonating(t.Context()))
				if refused := c.question == 401; refused != (err != nil) || !refused && resp.StatusCode != 401 {
					t.Errorf("%s: %v, %v", name, resp, err)
				}
				if questions != want {
					t.Errorf("%s: %d questions, want %d", name, questions, want)
				}
			}
			ask(questions + map[bool]int{true: 2, false: 1}[c.question == 401])
			time.Sleep(5*time.Second - 1)
			ask(c.before)
			time.Sleep(time.Nanosecond)
			ask(c.after)
		})
	}
}

// TestQuestionOutlivesItsFirst checks the SelfSubjectReview about edge's credential, for which
// several requests wait. The review must continue if the request that started it is canceled, and
// must end after 4 s.
func TestQuestionOutlivesItsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		questions := 0
		_, via := wrapped(nil, func(r *http.Request) (*http.Response, error) {
			if !isQuestion(r) {
				return answered(r, 401), nil
			}
			questions++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := via.RoundTrip(impersonating(ctx)); !errors.Is(err, context.Canceled) {
				t.Errorf("who left: %v", err)
			}
		})
		synctest.Wait()
		for range 5 {
			all.Go(func() {
				began := time.Now()
				resp, err := via.RoundTrip(impersonating(t.Context()))
				// A SelfSubjectReview without an answer does not count as a refusal of the
				// credential.
				if err != nil || resp.StatusCode != 401 || time.Since(began) != 4*time.Second {
					t.Errorf("%v, %v after %v", resp, err, time.Since(began))
				}
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		if questions != 1 {
			t.Errorf("%d questions", questions)
		}
	})
}

// TestLateAnswerIsNoRecovery checks that edge does not become ready if a request succeeds that was
// sent before the API server refused edge's credential.
func TestLateAnswerIsNoRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		own, via := wrapped(nil, func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/prefix/slow" {
				<-release
				return answered(r, 200), nil
			}
			return answered(r, 401), nil
		})
		slow := impersonating(t.Context())
		slow.URL.Path = "/prefix/slow"
		done := make(chan struct{})
		go func() { defer close(done); must(via.RoundTrip(slow)) }()
		synctest.Wait()
		if _, err := via.RoundTrip(impersonating(t.Context())); err == nil || own.Ready() == nil {
			t.Error(err, own.Ready())
		}
		close(release)
		<-done
		if own.Ready() == nil {
			t.Error("ready by an answer to an older request")
		}
	})
}

// TestOwnQuestionsGetThe401 checks a 401 for a request of edge's own, which impersonates no user.
// The code that sent the request must receive the 401 and decides what it means.
func TestOwnQuestionsGetThe401(t *testing.T) {
	t.Parallel()
	own, via := wrapped(nil, func(r *http.Request) (*http.Response, error) { return answered(r, 401), nil })
	req := impersonating(t.Context())
	req.Header.Del("Impersonate-User")
	if resp, err := via.RoundTrip(req); err != nil || resp.StatusCode != 401 || own.Ready() == nil {
		t.Error(resp, err, own.Ready())
	}
	req.Header.Set("Authorization", "Bearer of-somebody")
	own, via = wrapped(nil, func(r *http.Request) (*http.Response, error) { return answered(r, 401), nil })
	if resp, err := via.RoundTrip(req); err != nil || resp.StatusCode != 401 || own.Ready() != nil {
		t.Error(resp, err, own.Ready())
	}
}

// TestNoCredentialAtAll checks that edge treats a missing credential file, or a token that it
// cannot get, like a refused credential.
func TestNoCredentialAtAll(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	own, via := wrapped(func(c *bridge.CredentialConfig) { c.Upstream.BearerToken, c.Upstream.BearerTokenFile = "", file },
		func(r *http.Request) (*http.Response, error) { return answered(r, 401), nil })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first request gets a 401; for the second, edge has no credential to send
		_, err := via.RoundTrip(impersonating(t.Context()))
		if err == nil || !strings.Contains(err.Error(), "edge's own credential") || errors.Is(err, bridge.ErrNoCredential) || own.Ready() == nil {
			t.Errorf("%v, %v", err, own.Ready())
		}
	}
	if _, err := bridge.NewCredential(bridge.CredentialConfig{Upstream: &rest.Config{BearerTokenFile: file}}); err == nil {
		t.Error("a file that is not there is a credential")
	}
}
