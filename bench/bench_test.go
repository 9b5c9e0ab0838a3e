package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets this test binary also run as the child processes (proxies, upstream) that bench
// starts. It checks that the tests leave no goroutine.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == roleCommand {
		os.Exit(runRole(os.Args[2], os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(builtIn)
		os.Exit(code)
	}))
}

// tempDir is the folder for temporary files before a test has set TMPDIR to a folder of its own.
var tempDir = os.TempDir()

// builtIn is the folder with the edge binary that the tests share; empty if it was not built.
var builtIn string

// builtEdge returns the path of edge's binary. The binary is built once, for all tests that do not
// build their own.
var builtEdge = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp(tempDir, "bench-test-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	l := &lab{dir: dir}
	err = l.findEdge(context.Background())
	return l.edge, err
})

// smallArgs returns the flags of bench for a short measurement, followed by the flags in the
// parameter more.
func smallArgs(more ...string) []string {
	return append([]string{
		"--proxies", "translator,relay,nginx,haproxy", "--pairs", "", "--rounds", "2", "--idle-rounds", "1",
		"--volume", "1048576", "--writes", "100",
		"--keystrokes", "50", "--pair-keystrokes", "50", "--sessions", "20", "--settle", "10ms",
		"--requests", "0", "--starts", "0", "--watch-rounds", "0", "--watches", "50",
	}, more...)
}

func TestRunReportsEveryMeasureOfEveryPeer(t *testing.T) {
	edge, err := builtEdge()
	if err != nil {
		t.Fatal(err)
	}
	expectNothingLeft(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	var stdout, stderr bytes.Buffer
	all := strings.Join(peerNames(), ",")
	args := smallArgs("--proxies", all, "--edge", edge, "--idle-hold", "10ms", "--json", file, "--svg", dir)
	if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if r.Machine.Cores < 1 || r.Machine.Go == "" || r.Machine.MemoryKiB < 1 {
		t.Errorf("machine is not described: %+v", r.Machine)
	}
	rounds := map[string]int{}
	for _, m := range r.Measures {
		for _, p := range m.Proxies {
			rounds[fmt.Sprintf("%s %s %s", m.Name, m.Unit, p.Proxy)] = len(p.Samples)
			// With only 20 sessions, the measured memory of a process can stay the same or fall, so
			// figures of memory can be 0 or less. All other figures must be greater than 0.
			if p.Median <= 0 && m.measure != idleEach && m.measure != idleSpoken && m.measure != idleGrowth {
				t.Errorf("%s %s of %s is %v", m.Name, m.Unit, p.Proxy, p.Median)
			}
			if _, ok := p.Ratios["relay"]; m.measure != idleEach && m.measure != idleSpoken && ok == (p.Proxy == "relay" || m.measure == idleGrowth) {
				t.Errorf("%s %s of %s: ratios %v", m.Name, m.Unit, p.Proxy, p.Ratios)
			}
		}
	}
	want := map[string]int{}
	for _, proxy := range peerNames() {
		for _, m := range []string{"down, 32 KiB CPU s/GB", "down, 4 KiB CPU s/GB", "down, 100 B CPU s/GB",
			"up, 32 KiB CPU s/GB", "up, 4 KiB CPU s/GB", "up, 100 B CPU s/GB", "keystroke CPU us", "keystroke p50 us", "keystroke p99 us"} {
			want[m+" "+proxy] = 2
		}
		want["idle process RSS MiB "+proxy] = 1
		want["idle session RSS KiB "+proxy] = 1
		want["idle after a keystroke RSS KiB "+proxy] = 1
	}
	want["idle growth % of RSS edge"] = 1
	for m, n := range want {
		if rounds[m] != n {
			t.Errorf("%s has %d samples, want %d", m, rounds[m], n)
		}
		delete(rounds, m)
	}
	for m := range rounds {
		t.Errorf("unexpected measure %s", m)
	}
	const pairBars, plainBars = 6, 3
	if len(r.Bars) != len(bars)-pairBars-plainBars {
		t.Errorf("%d of %d bars", len(r.Bars), len(bars))
	}
	lines := 4 + len(want) + 3 + len(r.Bars)
	if got := strings.Count(stdout.String(), "\n"); got != lines {
		t.Errorf("table of %d lines, want %d:\n%s", got, lines, &stdout)
	}
	for _, chart := range []string{"down", "up", "keystroke", "idle"} {
		if _, err := os.Stat(filepath.Join(dir, chart+".svg")); err != nil {
			t.Error(err)
		}
	}
}

// cancelOnWrite is a writer for bench's progress. It cancels the measurement when it receives the
// first line.
type cancelOnWrite struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (c *cancelOnWrite) Write(b []byte) (int, error) {
	c.cancel()
	return c.Buffer.Write(b)
}

func TestCancelledRunFailsSaysWhatItHasAndLeavesNothing(t *testing.T) {
	expectNothingLeft(t)
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &cancelOnWrite{cancel: cancel}
	var stdout bytes.Buffer
	if code := run(ctx, smallArgs(), &stdout, stderr); code != exitError {
		t.Errorf("exit code %d, want %d\n%s", code, exitError, stderr)
	}
	if !strings.Contains(stderr.String(), context.Canceled.Error()) {
		t.Errorf("the cancellation is not named:\n%s", stderr)
	}
	if got := stdout.String(); !strings.Contains(got, "INCOMPLETE") || !strings.Contains(got, "down, 32 KiB") {
		t.Errorf("the measured figures are not printed:\n%s", got)
	}
}

func TestEdgeThatDoesNotStartIsNamedAndLeavesNothing(t *testing.T) {
	expectNothingLeft(t)
	broken := filepath.Join(t.TempDir(), "edge")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho no such flag\nexit 2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	code := run(t.Context(), smallArgs("--proxies", "edge", "--edge", broken), &bytes.Buffer{}, &stderr)
	if code != exitError || !strings.Contains(stderr.String(), "no such flag") {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
}

// expectNothingLeft checks at the end of the test that bench has left no child process and no
// temporary file.
func expectNothingLeft(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() { checkNothingLeft(t, dir) })
}

func checkNothingLeft(t *testing.T, dir string) {
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("files left: %q", left)
	}
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		t.Skip("this kernel lists no children")
	}
	for _, file := range files {
		if children, err := os.ReadFile(file); err == nil && len(bytes.TrimSpace(children)) > 0 {
			t.Errorf("children left: %s", children)
		}
	}
}

func TestBadArgumentsAreOneLine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // cancel before the start: if bench accepts the invalid arguments, it must measure nothing
	for _, args := range [][]string{
		{"--no-such-flag"}, {"word"}, {"--proxies", "squid"}, {"--proxies", "relay,relay"},
		{"--proxies", "", "--pairs", ""}, {"--pairs", "exec/v6/spdy"}, {"--pairs", "exec/v5/spdy,exec/v5/spdy"},
		{"--down", "0"}, {"--down", "x"}, {"--up", "32769"}, {"--rounds", "0"}, {"--volume", "1"}, {"--writes", "0"},
		{"--keystrokes", "-1"}, {"--pair-keystrokes", "-1"}, {"--idle-hold", "-1s"}, {"--idle-hold", "31m"},
		{"--idle-rounds", "-1"}, {"--sessions", "0"}, {"--sessions", "9501"}, {"--settle", "-1s"},
		{"--requests", "-1"}, {"--starts", "-1"}, {"--watch-rounds", "-1"}, {"--watches", "0"}, {"--watches", "9501"},
		{"--only", "word"}, {"--only", "plain,plain"}, {"--only", "pairs", "--pairs", "", "--proxies", ""},
	} {
		var stdout, stderr bytes.Buffer
		code := run(ctx, args, &stdout, &stderr)
		if code != exitUsage || strings.Count(stderr.String(), "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, %q", args, code, &stderr)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &stdout, &stderr); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"proxies", "pairs", "rounds", "sessions", "idle-hold", "edge", "json", "svg", "hold"} {
		if !strings.Contains(stderr.String(), "-"+name) {
			t.Errorf("no --%s in\n%s", name, &stderr)
		}
	}
}

func TestTransferIsAWholeNumberOfWrites(t *testing.T) {
	s := settings{Volume: 1 << 20, Writes: 1000}
	for size, want := range map[int]int64{32 << 10: 1 << 20, 3000: 349 * 3000, 100: 100_000, 1: 1000} {
		if got := s.transferSize(size); got != want {
			t.Errorf("writes of %d: %d bytes, want %d", size, got, want)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	s, err := parseSettings(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Proxies, []string{"edge", "translator", "relay", "nginx", "haproxy"}) || len(s.Pairs) != len(pairs) ||
		s.Keystrokes < 20_000 || s.PairKeys*s.Rounds < 20_000 || s.Rounds < 5 || s.IdleRounds < 5 || s.Sessions != 8000 {
		t.Errorf("defaults: %+v", s)
	}
}
