package ops

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	readTimeout    = 10 * time.Second
	maxHeaderBytes = 8 << 10
	// bodyTime bounds how long net/http reads a body that nobody asked for. With its half second for a client to read the
	// answer, the connection is gone in 5 s.
	bodyTime = 4 * time.Second
)

// NewServer returns the server of the operator's port. ready says why edge must
// get no traffic, or nil; notes what an operator should know although it gets some.
// The caller listens and closes.
func NewServer(ready func() error, notes func() []string) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		ok(w)
		for _, note := range notes() {
			fmt.Fprintln(w, note)
		}
	})
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { ok(w) })
	return &http.Server{Handler: atOnce(mux), ReadTimeout: readTimeout, WriteTimeout: readTimeout, MaxHeaderBytes: maxHeaderBytes}
}

// atOnce answers a request that announces a body, which no probe has, without waiting for it.
func atOnce(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		}
		h.ServeHTTP(w, r)
	})
}

func ok(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}
