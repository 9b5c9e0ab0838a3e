package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scripted returns a suite whose test binary is a shell script, and a function that returns how
// often the script has run.
func scripted(t *testing.T, name, digest, script string) (s suite, runs func() int) {
	dir := t.TempDir()
	s = suite{name: name, dir: dir, digest: digest, binary: filepath.Join(dir, "script"), cpus: cpus}
	if err := os.WriteFile(s.binary, []byte("#!/bin/sh\necho $* >> runs\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return s, func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "runs"))
		return bytes.Count(b, []byte("\n"))
	}
}

// rounds runs the suites until each has n completed rounds or the budget is used up. It returns
// stress's report.
func rounds(ctx context.Context, t *testing.T, dir string, n int, budget time.Duration, suites ...suite) (passed bool, said string) {
	t.Helper()
	var keep []*kept
	for _, s := range suites {
		k, err := load(dir, s)
		if err != nil {
			t.Fatal(err)
		}
		keep = append(keep, k)
	}
	var out strings.Builder
	if err := newPlan(suites, keep, n, budget, dir, &out).run(ctx, 2, 1); err != nil {
		t.Fatal(err)
	}
	passed = report(&out, suites, keep)
	return passed, out.String()
}

func TestRoundsGoOnWhereTheyWere(t *testing.T) {
	dir := t.TempDir()
	a, ranA := scripted(t, "edge/a", "a1", "")
	b, ranB := scripted(t, "edge/b", "b1", "")
	if passed, said := rounds(t.Context(), t, dir, 2, time.Hour, a, b); !passed || ranA() != 6 || ranB() != 6 {
		t.Fatalf("%d and %d runs, want 6: %s", ranA(), ranB(), said)
	}
	for _, cpu := range cpus {
		args, _ := os.ReadFile(filepath.Join(a.dir, "runs"))
		if n := strings.Count(string(args), fmt.Sprintf("-test.cpu=%d\n", cpu)); n != 2 {
			t.Errorf("%d runs at -cpu %d: %s", n, cpu, args)
		}
	}
	b.digest = "b2" // a new digest, as for a new test binary
	passed, said := rounds(t.Context(), t, dir, 3, time.Hour, a, b)
	if !passed || ranA() != 9 || ranB() != 6+9 {
		t.Errorf("%d and %d runs, want 9 and 15: %s", ranA(), ranB(), said)
	}
	if !strings.Contains(said, "at least 3 rounds") {
		t.Error(said)
	}
	if rounds(t.Context(), t, dir, 3, time.Hour, a, b); ranA() != 9 || ranB() != 15 {
		t.Errorf("%d and %d runs after all were done", ranA(), ranB())
	}
}

func TestFailureIsReportedAndKept(t *testing.T) {
	dir := t.TempDir()
	// The script fails when it runs with -cpu 2.
	bad, ran := scripted(t, "edge/bad", "x", `case "$*" in *cpu=2*) echo '    --- FAIL: TestPorts/one (0.1s)'; echo why; exit 1;; esac`)
	for range 2 { // in the second iteration nothing runs, because all rounds are stored
		passed, said := rounds(t.Context(), t, dir, 1, time.Hour, bad)
		if passed || !strings.Contains(said, "TestPorts/one") {
			t.Errorf("passed %t: %s", passed, said)
		}
	}
	if ran() != 3 {
		t.Errorf("%d runs, want 3", ran())
	}
	k, err := load(dir, bad)
	if err != nil || len(k.failures()) != 1 {
		t.Fatal(k, err)
	}
	if b, err := os.ReadFile(k.failures()[0].Output); err != nil || !strings.Contains(string(b), "why\n") {
		t.Errorf("%q, %v", b, err)
	}
	outputs, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	if len(outputs) != 1 {
		t.Errorf("%q, want the output of the run that failed alone", outputs)
	}
}

func TestPanicIsReported(t *testing.T) {
	bad, _ := scripted(t, "edge/bad", "x", "echo panic: oh; exit 2")
	if passed, said := rounds(t.Context(), t, t.TempDir(), 1, time.Hour, bad); passed || !strings.Contains(said, "exit status 2") {
		t.Errorf("passed %t: %s", passed, said)
	}
}

func TestProcessLeftBehindIsAFailure(t *testing.T) {
	bad, _ := scripted(t, "edge/bad", "x", "sleep 1000 &")
	bad.cpus = []int{1}
	if passed, said := rounds(t.Context(), t, t.TempDir(), 1, time.Hour, bad); passed || !strings.Contains(said, "left behind") {
		t.Errorf("passed %t: %s", passed, said)
	}
}

func TestInterruptedRunIsNotKept(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	s, ran := scripted(t, "edge/long", "x", `trap 'kill $!; echo end >> runs; exit 1' TERM; echo begun > begun; sleep 1000 & wait`)
	s.cpus = []int{1}
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(s.dir, "begun")); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	rounds(ctx, t, dir, 1, time.Hour, s)
	if k, err := load(dir, s); err != nil || len(k.Runs) != 0 || ran() != 2 {
		t.Errorf("%v, %v, and %d lines, want its own end as the second", k, err, ran())
	}
}

// TestOrderAndBudget checks the order in which a plan starts jobs: the job with the fewest runs
// first, and no job after the budget (a duration) has passed.
func TestOrderAndBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		suites := []suite{{name: "short", cpus: []int{1, 2}}, {name: "long", cpus: []int{1}}, {name: endToEndPackage, cpus: []int{0}}}
		keep := []*kept{{}, {Runs: []ran{{CPU: 1, Seconds: 50}}}, {}}
		p := newPlan(suites, keep, 3, time.Hour, "", nil)
		var got []string
		for range 7 {
			got = append(got, p.next(t.Context()).String())
		}
		// want contains edge/e2e (the end-to-end tests) only once, because next does not start
		// these tests again while their first run has not ended.
		want := []string{"short -cpu 1", "short -cpu 2", "edge/e2e", "long -cpu 1", "short -cpu 1", "short -cpu 2", "long -cpu 1"}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%q, want %q", got, want)
		}
		time.Sleep(time.Hour - 1)
		if p.next(t.Context()) == nil {
			t.Error("nothing begins before the budget's end")
		}
		time.Sleep(time.Nanosecond)
		if j := p.next(t.Context()); j != nil {
			t.Errorf("%v begins after the budget", j)
		}
	})
}

func TestDigestIsOfTheSource(t *testing.T) {
	build := func(body string) string {
		s := suite{name: "small", dir: t.TempDir()}
		for name, text := range map[string]string{"go.mod": "module small\n\ngo 1.26\n", "a_test.go": "package small\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {" + body + "}\n"} {
			if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.build(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		return s.digest
	}
	if a, b, c := build(""), build(""), build("t.Log()"); a != b || a == c {
		t.Errorf("digests %s and %s of one source, %s of another", a, b, c)
	}
}

func TestTimedTestsExist(t *testing.T) {
	files, err := filepath.Glob("../../*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	there := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(b, -1) {
			there[string(m[1])] = true
		}
	}
	for _, timed := range timedTests {
		if !there[timed.test] || timed.why == "" {
			t.Errorf("%s, %q: no such test, or no reason", timed.test, timed.why)
		}
	}
}
