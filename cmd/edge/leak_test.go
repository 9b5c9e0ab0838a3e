package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/internal/testkit"
)

const (
	// leakRounds is how many requests of each kind TestRequestsLeaveNothing sends. EDGE_LEAK_ROUNDS
	// sets another number.
	leakRounds = 300
	// leakedHeap is the allowed growth of the heap, in bytes. It is more than edge caches for such
	// small requests.
	leakedHeap = 16 << 20
	// leakedGoroutines is the allowed growth of the number of goroutines: more than one new
	// connection needs with both ends in this process.
	leakedGoroutines = 10
	// keptGoroutines is how many goroutines more than at the start may remain after the first
	// requests: those of the connections that edge keeps open need fewer.
	keptGoroutines = 40
	// settled is how many times in a row the number of goroutines must be unchanged.
	settled = 20
)

// TestRequestsLeaveNothing sends requests of every kind, most of them different from all before, to
// an edge in this process. It checks that they leave no memory and no goroutines behind.
func TestRequestsLeaveNothing(t *testing.T) {
	rounds := leakRounds
	if n, err := strconv.Atoi(os.Getenv("EDGE_LEAK_ROUNDS")); err == nil {
		rounds = n
	}
	b := newBed(t)
	b.api.Config.Handler = http.HandlerFunc(forgetful)
	p := b.assembled("--token-passthrough", "--extra-user-header-client-ip",
		"--audit-policy-file="+b.file("policy", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), "--audit-log-path="+b.dir+"/audit.log")
	server := httptest.NewUnstartedServer(p.handler)
	server.EnableHTTP2 = true
	testkit.StartTLS(server)
	defer server.Close()

	good, client := b.token(nil), server.Client()
	kinds := map[string]func(r *http.Request, n int){
		"remembered": func(r *http.Request, _ int) { r.Header.Set("Authorization", "Bearer "+good) },
		"new": func(r *http.Request, n int) {
			r.Header.Set("Authorization", "Bearer "+b.token(map[string]any{"jti": fmt.Sprint(n)}))
		},
		"expired": func(r *http.Request, n int) {
			r.Header.Set("Authorization", "Bearer "+b.token(map[string]any{"exp": n}))
		},
		"reviewed": func(r *http.Request, n int) { r.Header.Set("Authorization", fmt.Sprint("Bearer yes-", n)) },
		"refused":  func(r *http.Request, n int) { r.Header.Set("Authorization", fmt.Sprint("Bearer no-", n)) },
		"nobody":   func(*http.Request, int) {},
		"impersonation": func(r *http.Request, n int) {
			r.Header.Set("Authorization", "Bearer "+good)
			r.Header.Set("Impersonate-User", fmt.Sprint("somebody-", n))
			r.Header["Impersonate-Group"] = []string{"a", fmt.Sprint(n)}
		},
		"denied impersonation": func(r *http.Request, n int) {
			r.Header.Set("Authorization", "Bearer "+good)
			r.Header.Set("Impersonate-User", fmt.Sprint("denied-", n))
		},
		"stream": func(r *http.Request, n int) { // the API server answers this exec with 403
			r.Header.Set("Authorization", "Bearer "+good)
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "SPDY/3.1")
			r.Header.Set("X-Stream-Protocol-Version", "v4.channel.k8s.io")
			r.URL.Path = "/api/v1/namespaces/a/pods/b/exec"
		},
		"gone": func(r *http.Request, n int) {
			r.Header.Set("Authorization", "Bearer "+good)
			r.URL.Path = "/slow"
		},
	}
	send := func(from, to int) {
		for kind, dress := range kinds {
			var senders sync.WaitGroup
			for sender := range 4 {
				senders.Go(func() {
					for n := from + sender; n < to; n += 4 {
						ctx, cancel := context.WithCancel(t.Context())
						r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api", nil)
						dress(r, n)
						if kind == "gone" {
							time.AfterFunc(time.Millisecond, cancel)
						}
						if resp, err := client.Do(r); err == nil {
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						} else if kind != "gone" && kind != "stream" {
							t.Error(kind, err)
						}
						cancel()
					}
				})
			}
			senders.Wait()
		}
	}
	// left waits until the number of goroutines is at most the parameter most and no longer
	// changes. The goroutines of a connection end with a delay, and a connection is idle only when
	// its last request has ended on both sides.
	left := func(most int) (goroutines int, heap uint64) {
		same := 0
		for end := time.Now().Add(bedPatience); time.Now().Before(end) && (goroutines > most || same < settled); time.Sleep(10 * time.Millisecond) {
			client.CloseIdleConnections()
			if now := runtime.NumGoroutine(); now == goroutines {
				same++
			} else {
				goroutines, same = now, 0
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return goroutines, m.HeapAlloc
	}
	quiet, _ := left(math.MaxInt)
	send(0, leakRounds/3)
	before, heapBefore := left(quiet + keptGoroutines)
	send(leakRounds/3, leakRounds/3+rounds)
	after, heapAfter := left(before + leakedGoroutines)
	t.Logf("%d of each kind: %d goroutines before, %d after; heap %d KiB before, %d KiB after", rounds, before, after, heapBefore>>10, heapAfter>>10)
	if heapAfter > heapBefore+leakedHeap {
		t.Errorf("heap %d KiB before, %d KiB after", heapBefore>>10, heapAfter>>10)
	}
	if after > before+leakedGoroutines {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after: %s", before, after, buf[:runtime.Stack(buf, true)])
	}
}

// forgetful is a handler that answers as the test bed's API server does, but records nothing.
func forgetful(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/slow":
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/exec"):
		w.WriteHeader(http.StatusForbidden)
	case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
		fmt.Fprintf(w, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":%t,"user":{"username":"reviewed"}}}`, time.Now().UnixNano()%2 == 0)
	case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
		fmt.Fprintf(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":%t}}`, time.Now().UnixNano()%2 == 0)
	default:
		fmt.Fprint(w, "{}")
	}
}
