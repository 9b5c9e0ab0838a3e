package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const allKinds = "exec,exec-spdy,port-forward,port-forward-spdy,watch"

// readReport reads the JSON report of a load test and checks that it does not contain the token.
func readReport(t *testing.T, file string) (rep report) {
	t.Helper()
	text := must(os.ReadFile(file))
	if strings.Contains(string(text), testToken) {
		t.Errorf("the report contains the token")
	}
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestAllKinds checks that idle, busy and bulk sessions of every kind end without a failure against
// the real handlers of the API server and the container runtime.
func TestAllKinds(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	text, picture := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.svg")
	o := s.drive(t, "--sessions", "50", "--mix", allKinds, "--busy", "12", "--rate", "50", "--bulk", "8", "--bulk-rate", "0", "--duration", "2s",
		"--max-p99", "1h", "--max-open-p99", "1h", "--max-first-byte-p99", "1h", "--report-json", text, "--report-svg", picture)
	if o.code != exitOK {
		t.Fatal(o)
	}
	rep := readReport(t, text)
	if len(rep.Kinds) != len(kinds) || len(rep.Errors) != 0 {
		t.Errorf("%d kinds of %d, errors %v", len(rep.Kinds), len(kinds), rep.Errors)
	}
	for _, k := range rep.Kinds {
		if k.counts != (counts{Planned: 10, Opened: 10, Ended: 10}) {
			t.Errorf("%s: %+v", k.Name, k.counts)
		}
		seen := map[string]int64{}
		for _, figure := range k.Times {
			seen[figure.Figure] = figure.Count
		}
		if k.Name == "watch" {
			if seen["open"] != 10 || seen["first byte"] != 10 {
				t.Errorf("%s: %v", k.Name, seen)
			}
			continue
		}
		if seen["connect"] != 10 || seen["open"] != 10 || seen["first byte"] != 10 || seen["end"] != 10 || seen["round trip"] == 0 || seen["late"] == 0 {
			t.Errorf("%s: %v", k.Name, seen)
		}
	}
	if rep.UpBytes != rep.DownBytes-watched(s, rep) || rep.UpBytes < 8*maxWriteSize {
		t.Errorf("%d bytes up, %d down, of watches %d", rep.UpBytes, rep.DownBytes, watched(s, rep))
	}
	if s.watches.Load() != 10 || s.http2.Load() != 10 || rep.Events < 10 {
		t.Errorf("%d watches, %d over HTTP/2, %d events", s.watches.Load(), s.http2.Load(), rep.Events)
	}
	if len(rep.Series) < 3 || rep.Processes[0].Peak == 0 {
		t.Errorf("series of %d, processes %+v", len(rep.Series), rep.Processes)
	}
	checkXML(t, must(os.ReadFile(picture)), "polyline", 8)
}

// watched returns how many of the received bytes belong to watches: the bytes of all events in the
// report, and at most one incomplete event for each of the ten watches. If the report has fewer or
// more bytes, watched returns only the bytes of the events, so that the test fails.
func watched(s *server, rep report) int64 {
	whole := rep.Events * int64(len(s.event))
	if rest := rep.DownBytes - rep.UpBytes - whole; rest >= 0 && rest <= 10*int64(len(s.event)) {
		return whole + rest
	}
	return whole
}

// checkXML checks that text is well-formed XML, contains the element want times, and does not
// contain NaN or Inf.
func checkXML(t *testing.T, text []byte, element string, want int) {
	t.Helper()
	found := 0
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == element {
			found++
		}
	}
	if found != want || strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
		t.Errorf("%d of %s, want %d\n%s", found, element, want, text)
	}
}

// TestManySessions checks that 300 exec sessions succeed if all of them open at once, without a
// ramp, and end at the same time.
func TestManySessions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := s.drive(t, "--sessions", "300", "--busy", "50", "--rate", "20", "--mix", "exec,exec-spdy", "--ramp", "0",
		"--open-timeout", "2m", "--timeout", "2m")
	if o.code != exitOK || strings.Count(o.stdout.String(), "150      150     150         0") != 2 {
		t.Error(o)
	}
}

// TestInterrupted checks that an interrupted load test ends every session with a half-close and a
// Status, writes its report, and fails.
func TestInterrupted(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := filepath.Join(t.TempDir(), "report.json")
	var o outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.code = execute(ctx, s.args(t, "--sessions", "20", "--mix", allKinds, "--busy", "5", "--duration", "1h", "--report-json", file), &o.stdout, &o.stderr)
	}()
	for s.watches.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	rep := readReport(t, file)
	if o.code != exitMissed || !strings.Contains(o.stdout.String(), errInterrupted.Error()) || len(rep.Errors) > 0 {
		t.Error(&o)
	}
	for _, k := range rep.Kinds {
		if k.Ended != k.Opened {
			t.Errorf("%s: %+v", k.Name, k.counts)
		}
	}
}
