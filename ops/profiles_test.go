package ops

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// profiling starts a server of the operator's port, with profiles or without.
func profiling(t *testing.T, on bool) *httptest.Server {
	t.Helper()
	nothing := func() []string { return nil }
	server := httptest.NewServer(NewServer(Options{Ready: func() error { return nil }, Notes: nothing, Profiling: on}).Handler)
	t.Cleanup(server.Close)
	return server
}

func ask(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestProfiles checks which profiles there are, for which methods, and that there are none without
// Options.Profiling.
func TestProfiles(t *testing.T) {
	t.Parallel()
	with, without := profiling(t, true), profiling(t, false)
	for path, want := range map[string]int{
		"/": 200, "/heap": 200, "/goroutine?debug=2": 200, "/allocs": 200, "/symbol?0x1": 200, "/trace?seconds=0.001": 200,
		"/cmdline": 404, "/nothing": 404, "/../../debug/pprof/cmdline": 404,
	} {
		path = "/debug/pprof" + path
		if code, body := ask(t, http.MethodGet, with.URL+path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
		if code, body := ask(t, http.MethodGet, without.URL+path); code != http.StatusNotFound || strings.Contains(body, "goroutine") {
			t.Errorf("%s without profiling: %d %s", path, code, body)
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
			if code, body := ask(t, method, with.URL+path); code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %s", method, path, code, body)
			}
		}
	}
	if code, body := ask(t, http.MethodGet, with.URL+"/debug/pprof/cmdline"); code != http.StatusNotFound || !strings.Contains(body, "--token") {
		t.Errorf("the command line: %d %s", code, body)
	}
}

// TestProfileLength checks that no profile takes longer than maxProfileTime, and that each length
// that package net/http/pprof would read is one that edge has checked.
func TestProfileLength(t *testing.T) {
	t.Parallel()
	server := profiling(t, true)
	for _, seconds := range []string{"301", "300.1", "0", "-1", "1e9", "9223372036854775807", "9223372036854775808", "NaN", "Inf", "-Inf", "x", "0x1p40", " 1"} {
		for _, path := range []string{"profile", "trace", "heap", "goroutine"} {
			if code, body := ask(t, http.MethodGet, server.URL+"/debug/pprof/"+path+"?seconds="+url.QueryEscape(seconds)); code != http.StatusBadRequest {
				t.Errorf("%s for %s: %d %s", path, seconds, code, body)
			}
		}
	}
	for seconds, want := range map[string]time.Duration{"": defaultProfileTime, "1": time.Second, "0.5": time.Second / 2, "300": maxProfileTime} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/profile?seconds="+seconds, nil)
		if got, err := profileLength(r); err != nil || got != want {
			t.Errorf("%q: %v %v", seconds, got, err)
		}
	}
}

// TestProfilesAreBounded checks that at most maxProfiles are made at the same time, and that one that
// ends makes room for another.
func TestProfilesAreBounded(t *testing.T) {
	t.Parallel()
	began, end := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(boundedProfile(make(chan struct{}, maxProfiles), func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		<-end
		fmt.Fprint(w, "done")
	}))
	defer server.Close()
	answers := make(chan int, maxProfiles+1)
	start := func() {
		go func() {
			code, _ := ask(t, http.MethodGet, server.URL)
			answers <- code
		}()
		<-began
	}
	for range maxProfiles {
		start()
	}
	if code, body := ask(t, http.MethodGet, server.URL); code != http.StatusServiceUnavailable {
		t.Errorf("one more profile: %d %s", code, body)
	}
	end <- struct{}{}
	if code := <-answers; code != http.StatusOK {
		t.Error(code)
	}
	start()
	for range maxProfiles {
		end <- struct{}{}
		if code := <-answers; code != http.StatusOK {
			t.Error(code)
		}
	}
}

// deadlines is a connection's writer that records the deadlines of writes, each before its write.
type deadlines struct {
	http.ResponseWriter
	set    time.Time
	writes []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.set = at; return nil }

func (d *deadlines) Write(b []byte) (int, error) {
	d.writes = append(d.writes, d.set)
	return d.ResponseWriter.Write(b)
}

// TestProfileWriteDeadline checks that each write of a profile has a deadline of its own, and that
// none is after the end of the whole profile.
func TestProfileWriteDeadline(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	before := time.Now()
	boundedProfile(make(chan struct{}, 1), func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "one")
		w.(*profileWriter).until = before
		fmt.Fprint(w, "two")
	})(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/profile?seconds=300", nil))
	after := time.Now()
	if len(w.writes) != 2 {
		t.Fatal(w.writes)
	}
	if first := w.writes[0]; first.Before(before.Add(writeTimeout)) || first.After(after.Add(writeTimeout)) {
		t.Errorf("the first write has its deadline %v after the begin", first.Sub(before))
	}
	if !w.writes[1].Equal(before) {
		t.Errorf("a write has a deadline after the end of its profile: %v", w.writes[1].Sub(before))
	}
}
