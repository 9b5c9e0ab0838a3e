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
	// bodyTime limits how long net/http reads a request body that no handler reads. net/http then
	// gives the client half a second to read the answer, so the connection is closed within 5 s.
	bodyTime = 4 * time.Second
)

// NewServer returns the HTTP server of the operator's port. The function ready returns why edge
// must receive no traffic, or nil. The function notes returns the problems that an operator should
// know of although edge is ready. The caller listens, serves and closes the server.
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

// atOnce answers a request that announces a body without waiting for that body, and closes the
// connection. Probes send no body.
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
	_, _ = io.WriteString(w, "ok\n")
}
