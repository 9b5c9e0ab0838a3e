package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestThresholdsMissed checks that a load test fails if it misses a threshold, and that the report
// names only that threshold.
func TestThresholdsMissed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, args := range map[string][]string{
		"round trip p50": {"--max-p50", "1ns"},
		"round trip p99": {"--max-p99", "1ns"},
		"open p99":       {"--max-open-p99", "1ns"},
		"first byte p99": {"--max-first-byte-p99", "1ns"},
	} {
		o := s.drive(t, append([]string{"--sessions", "2", "--busy", "2", "--rate", "100", "--ramp", "0"}, args...)...)
		out := o.stdout.String()
		if o.code != exitMissed || strings.Count(out, "MISSED") != 1 || !strings.Contains(lineOf(out, "MISSED"), name) {
			t.Errorf("%s\n%s", name, o)
		}
	}
}

func lineOf(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}

// TestErrorsAllowed checks that a load test succeeds with as many failed sessions as --max-errors
// permits, and fails with one more.
func TestErrorsAllowed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.event = "none\n"
	for bar, want := range map[string]int{"2": exitOK, "1": exitMissed} {
		if o := s.drive(t, "--sessions", "4", "--mix", "exec,watch", "--ramp", "0", "--max-errors", bar); o.code != want {
			t.Errorf("--max-errors %s: want %d\n%s", bar, want, o)
		}
	}
}

// TestMemoryWatched checks that the memory of a --watch-pid process is in the report and is
// compared with --max-rss-growth.
func TestMemoryWatched(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "report.json")
	o := s.drive(t, "--sessions", "2", "--ramp", "0", "--duration", "9s", "--rss-settle", "1s", "--max-rss-growth", "100000",
		"--watch-pid", strconv.Itoa(os.Getppid()), "--report-json", file)
	rep := readReport(t, file)
	if o.code != exitOK || len(rep.Processes) != 2 || rep.Processes[1].Hold == 0 || rep.Processes[1].Growth == nil || !strings.Contains(o.stdout.String(), "memory of") {
		t.Error(o)
	}
}

func TestGrowth(t *testing.T) {
	held := func(values ...int64) (series []sample) {
		series = append(series, sample{Seconds: 0, Phase: "ramp", Processes: []processSample{{RSS: 1}}})
		for i, v := range values {
			series = append(series, sample{Seconds: float64(i + 1), Phase: "hold", Processes: []processSample{{RSS: v}}})
		}
		return append(series, sample{Seconds: 1000, Phase: "end", Processes: []processSample{{RSS: 1e9}}})
	}
	for _, test := range []struct {
		series []sample
		settle time.Duration
		want   float64
		ok     bool
	}{
		{held(100, 100, 100, 100, 100, 100, 100, 100), 0, 0, true},
		{held(100, 100, 105, 110, 115, 120, 120, 120), 0, 20, true},
		{held(10, 10, 100, 100, 100, 100, 100, 100, 100, 150, 150, 150), 2 * time.Second, 50, true}, // growth with the first 2 s ignored
		{held(120, 120, 120, 120, 60, 60, 60, 60), 0, -50, true},
		{held(100, 100, 100), 0, 0, false},                     // the growth is unknown: too few samples
		{held(100, 100, 100, 100, 0, 0, 0, 0), 0, 0, false},    // the growth is unknown: the process exited
		{held(100, 100, 100, 100, 100), time.Minute, 0, false}, // the growth is unknown: the hold phase is shorter than settle
		{nil, 0, 0, false},
	} {
		got, ok := growth(test.series, 0, test.settle)
		if ok != test.ok || ok && (got < test.want-0.01 || got > test.want+0.01) {
			t.Errorf("%v: %v %v, want %v %v", test.series, got, ok, test.want, test.ok)
		}
	}
}

// TestDigits checks the format of numbers of bytes: a unit, three significant digits and no
// exponent.
func TestDigits(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 1: "1 B", 1010: "1010 B", 1536: "1.5 KiB", 1 << 20: "1 MiB", 3 << 40: "3072 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%v: %q, want %q", n, got, want)
		}
	}
}
