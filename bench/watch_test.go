package main

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestIdleWatchThatEndsIsAnError checks that bench fails if a watch ends during the measurement of
// its memory. Otherwise its proxy would appear to need less memory.
func TestIdleWatchThatEndsIsAnError(t *testing.T) {
	var watches atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc(versionPath, answer(http.StatusOK, version))
	mux.HandleFunc(listPath, func(w http.ResponseWriter, r *http.Request) {
		if watches.Add(1) == watchesPerConn+3 {
			_, _ = w.Write(watchEvent)
			return
		}
		listOrWatch(w, r)
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	p := &proxy{target: target{address: server.Listener.Addr().String(), pool: pool}}
	if _, err := residentWatching(t.Context(), p, 2*watchesPerConn, time.Minute, []string{""}); !errors.Is(err, errWatch) {
		t.Errorf("%v, want %v", err, errWatch)
	}
}
