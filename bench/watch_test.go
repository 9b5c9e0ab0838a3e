package main

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/testkit"
)

// TestIdleWatchThatEndsIsAnError checks that bench fails if a watch ends during the measurement of
// its memory, or while it opens other watches. Otherwise its proxy would appear to need less memory.
func TestIdleWatchThatEndsIsAnError(t *testing.T) {
	for name, answerRest := range map[string]http.HandlerFunc{
		"all watches open": listOrWatch,
		"no answer yet":    func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no event yet": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var watches atomic.Int64
			mux := http.NewServeMux()
			mux.HandleFunc(versionPath, answer(http.StatusOK, version))
			mux.HandleFunc(listPath, func(w http.ResponseWriter, r *http.Request) {
				switch n := watches.Add(1); {
				case n == watchesPerConn+3:
					_, _ = w.Write(watchEvent)
				case n > watchesPerConn+3:
					answerRest(w, r)
				default:
					listOrWatch(w, r)
				}
			})
			server := httptest.NewUnstartedServer(mux)
			server.EnableHTTP2 = true
			testkit.StartTLS(server)
			defer server.Close()
			pool := x509.NewCertPool()
			pool.AddCert(server.Certificate())
			p := &proxy{target: target{address: server.Listener.Addr().String(), pool: pool}}
			if _, err := residentWatching(t.Context(), p, 2*watchesPerConn, time.Minute, []string{""}); !errors.Is(err, errWatch) {
				t.Errorf("%v, want %v", err, errWatch)
			}
		})
	}
}
