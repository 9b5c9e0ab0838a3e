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
	return &http.Server{Handler: mux, ReadTimeout: readTimeout, WriteTimeout: readTimeout, MaxHeaderBytes: maxHeaderBytes}
}

func ok(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}
