package ops

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

const (
	// maxProfiles limits how many profiles are made at the same time: a CPU profile, which is the
	// only one of its kind, and another beside it. The stacks of all goroutines take up to 64 MiB.
	maxProfiles = 2
	// maxProfileTime limits the length of a profile or trace, which its client sets in seconds with
	// the parameter seconds. edge is slower for as long.
	maxProfileTime = 5 * time.Minute
	// defaultProfileTime is the length of a CPU profile without the parameter.
	defaultProfileTime = 30 * time.Second
)

// addProfiles adds the profiles of package net/http/pprof to mux. Importing that package adds them
// also to http.DefaultServeMux, which no server of edge uses.
//
// The command line is left out: --token may be in it. Profiles have the names of functions and
// amounts, but no contents of memory.
func addProfiles(mux *http.ServeMux) {
	slots := make(chan struct{}, maxProfiles)
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/profile": pprof.Profile, "/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
	} {
		mux.HandleFunc("GET "+path, boundedProfile(slots, h))
	}
	mux.HandleFunc("GET /debug/pprof/cmdline", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "edge does not show its command line, because --token may be in it", http.StatusNotFound)
	})
}

// boundedProfile returns a handler that calls h if fewer than maxProfiles are under way, for at most
// maxProfileTime.
func boundedProfile(slots chan struct{}, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		length, err := profileLength(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, fmt.Sprintf("%d profiles are under way, try again later", maxProfiles), http.StatusServiceUnavailable)
			return
		}
		h(&profileWriter{w, http.NewResponseController(w), time.Now().Add(length + writeTimeout)}, r)
	}
}

// profileLength returns how long the profile may take that r requests.
func profileLength(r *http.Request) (time.Duration, error) {
	text := r.FormValue("seconds")
	if text == "" {
		return defaultProfileTime, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds <= maxProfileTime.Seconds()) { // also refuses NaN
		return 0, fmt.Errorf("seconds must be a number from 0 to %v", maxProfileTime.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// profileWriter limits the time of each write: a client that does not read ends its profile, whose
// data would otherwise pile up in memory.
type profileWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	until   time.Time // when the whole profile must be written
}

func (p *profileWriter) Write(b []byte) (int, error) {
	deadline := time.Now().Add(writeTimeout)
	if deadline.After(p.until) {
		deadline = p.until
	}
	_ = p.control.SetWriteDeadline(deadline) // fails only for a connection that is closed, like the write
	return p.ResponseWriter.Write(b)
}
