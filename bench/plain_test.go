package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// readReport runs bench with args and returns its report, and the samples by proxy, measure and
// unit.
func readReport(t *testing.T, args ...string) (r report, samples map[string][]float64) {
	t.Helper()
	edge, err := builtEdge()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.json")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append(args, "--edge", edge, "--json", file), &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	samples = map[string][]float64{}
	for _, m := range r.Measures {
		for _, p := range m.Proxies {
			samples[p.Proxy+", "+m.Name+", "+m.Unit] = p.Samples
		}
	}
	return r, samples
}

// expectSamples checks that each measure has the wanted number of samples. Samples must be greater
// than 0, except differences of two times, which can be less.
func expectSamples(t *testing.T, samples map[string][]float64, want map[string]int) {
	t.Helper()
	for m, n := range want {
		if len(samples[m]) != n {
			t.Errorf("%s has %d samples, want %d", m, len(samples[m]), n)
		}
		for _, v := range samples[m] {
			if v <= 0 && !strings.Contains(m, "added") && !strings.Contains(m, "KiB") {
				t.Errorf("%s is %v", m, v)
			}
		}
	}
	for m := range samples {
		if want[m] == 0 {
			t.Errorf("unexpected measure %s", m)
		}
	}
}

func TestPlainPathIsReported(t *testing.T) {
	expectNothingLeft(t)
	want := map[string]int{}
	proxies := []string{"edge", "relay", "nginx", "haproxy"}
	for _, request := range []string{"plain, /version", "plain, LIST 20 KiB"} {
		for _, proxy := range proxies {
			for _, unit := range []string{"per CPU s", "p50 us", "p99 us", "added p50 us", "added p99 us"} {
				want[proxy+", "+request+", "+unit] = 2
			}
		}
		want["direct, "+request+", p50 us"], want["direct, "+request+", p99 us"] = 2, 2
	}
	for _, proxy := range proxies {
		want[proxy+", idle watch, RSS KiB"] = 1
	}
	r, samples := readReport(t, smallArgs("--proxies", strings.Join(proxies, ","), "--requests", "200", "--watch-rounds", "1",
		"--only", "plain,watches")...)
	expectSamples(t, samples, want)
	held := 0
	for _, b := range r.Bars {
		if b.Unit == perCPU && b.Of == "edge" && b.Against == "relay" && b.AtLeast {
			held++
		}
	}
	if held != len(plainRequests) {
		t.Errorf("%d bars of the plain path: %+v", held, r.Bars)
	}
}

func TestStartsAreReported(t *testing.T) {
	expectNothingLeft(t)
	want := map[string]int{"direct, start, first byte, p50 us": 2, "direct, start, first byte, p99 us": 2}
	for _, proxy := range []string{"translator", "relay", "nginx", "haproxy"} {
		want[proxy+", start, 8 at a time, per CPU s"] = 2
		for _, unit := range []string{"p50 us", "p99 us", "added p50 us", "added p99 us"} {
			want[proxy+", start, first byte, "+unit] = 2
		}
	}
	_, samples := readReport(t, smallArgs("--starts", "16", "--only", "starts")...)
	expectSamples(t, samples, want)
}

// TestPlainClientExpectsItsAnswer checks that bench's HTTP client reports an unexpected response as
// an error. Otherwise a broken proxy would look fast.
func TestPlainClientExpectsItsAnswer(t *testing.T) {
	expectNothingLeft(t)
	l, err := openLab(t.Context(), settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	c := newPlainClient(l.target(l.upstream))
	defer c.close()
	for _, test := range []struct {
		path string
		size int
		says string
	}{
		{path: versionPath, size: len(version)},
		{path: listPath, size: len(list)},
		{versionPath, len(version) + 1, "bytes instead of"},
		{"/nothing", 0, "404"},
	} {
		err := c.get(t.Context(), test.path, test.size)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s of %d bytes: %v", test.path, test.size, err)
		}
	}
}

func TestInParallelCountsAndStops(t *testing.T) {
	const n, workers = 100, 3
	var calls, underWay atomic.Int64
	var seen [n]atomic.Bool
	if err := inParallel(t.Context(), n, workers, func(_ context.Context, i int) error {
		if underWay.Add(1) > workers {
			t.Error("more calls at the same time than workers")
		}
		if seen[i].Swap(true) {
			t.Errorf("do was called twice with %d", i)
		}
		calls.Add(1)
		underWay.Add(-1)
		return nil
	}); err != nil || calls.Load() != n {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	calls.Store(0)
	err := inParallel(t.Context(), n, workers, func(ctx context.Context, _ int) error {
		switch n := calls.Add(1); {
		case n < 5:
			return nil
		case n == 5:
			return errEarlyEnd
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, errEarlyEnd) || calls.Load() > 5+workers {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}
