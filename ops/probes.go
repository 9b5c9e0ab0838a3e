package ops

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second // of one answer, from the arrival of its request
	maxHeaderBytes = 8 << 10
	// bodyTime limits how long net/http reads a request body that no handler reads. net/http then
	// gives the client half a second to read the answer, so the connection is closed within 5 s.
	bodyTime = 4 * time.Second
)

// Options configure the server of the operator's port.
type Options struct {
	Ready func() error    // returns why edge must receive no traffic, or nil
	Notes func() []string // returns the problems that an operator should know of although edge is ready
	// Metrics answers /metrics, see the function Metrics. nil: there is no such path.
	Metrics http.Handler
	// Profiling adds the profiles of net/http/pprof, below /debug/pprof/. They make edge slower, so
	// they are off unless an operator asks for them.
	Profiling bool
}

// NewServer returns the HTTP server of the operator's port. The caller listens, serves and closes
// the server.
func NewServer(o Options) *http.Server {
	mux := http.NewServeMux()
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Profiling {
		addProfiles(mux)
	}
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		ok(w)
		for _, note := range o.Notes() {
			fmt.Fprintln(w, note)
		}
	})
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { ok(w) })
	// The write timeout is one of each request, because profiles take longer than a probe.
	return &http.Server{Handler: atOnce(mux), ReadTimeout: readTimeout, MaxHeaderBytes: maxHeaderBytes}
}

// atOnce limits the time to write an answer. It answers a request that announces a body without
// waiting for that body, and closes the connection. Probes send no body.
func atOnce(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			control.SetReadDeadline(time.Now().Add(bodyTime))
		}
		h.ServeHTTP(w, r)
	})
}

func ok(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
