package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"edge/e2e/testbed/binaries"
)

// settings are the values of the flags of the command stress.
type settings struct {
	root   string // the repository's root folder
	budget time.Duration
	rounds int
	only   *regexp.Regexp
	atOnce int
	loops  int
	unit   bool
	list   bool
	forget bool
}

func main() {
	o := settings{only: regexp.MustCompile("")}
	flag.StringVar(&o.root, "root", "..", "root folder of the repository")
	flag.DurationVar(&o.budget, "budget", 90*time.Minute, "duration in which runs are started, after the tests are built; running tests finish")
	flag.IntVar(&o.rounds, "rounds", 30, "rounds of each package, including those of earlier runs")
	flag.IntVar(&o.atOnce, "p", runtime.NumCPU(), "number of test binaries that run at the same time")
	flag.IntVar(&o.loops, "busy", busyLoops, "number of busy loops that run at the same time as the tests")
	flag.BoolVar(&o.unit, "unit", false, "skip the end-to-end module, which must run as root")
	flag.BoolVar(&o.list, "list", false, "print the stored results of the current code and run no tests")
	flag.BoolVar(&o.forget, "forget", false, "delete the stored results of the selected packages first")
	flag.Func("only", "regular expression `pattern`: run only packages whose import path matches", func(v string) (err error) {
		o.only, err = regexp.Compile(v)
		return err
	})
	flag.Parse()
	if flag.NArg() > 0 || o.budget < 0 || o.rounds < 1 || o.atOnce < 1 || o.loops < 0 {
		fmt.Fprintln(os.Stderr, "stress: invalid arguments: only flags are allowed, --rounds and -p must be at least 1, --budget and --busy at least 0 (see --help)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // so that a second Ctrl-C kills the command at once
	}()
	passed, err := stress(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// stress builds the test binaries, runs them unless the flag --list is set, and prints the results.
// passed is true if no run failed.
func stress(ctx context.Context, o settings) (passed bool, err error) {
	dir, err := binaries.CacheDir()
	if err != nil {
		return false, err
	}
	dir = filepath.Join(dir, "stress")
	unlock, err := lock(dir)
	if err != nil {
		return false, err
	}
	defer unlock()
	suites, err := buildAll(ctx, o, filepath.Join(dir, "bin"))
	if err != nil {
		return false, err
	}
	keep := make([]*kept, len(suites))
	for i, s := range suites {
		if o.forget {
			if err := os.RemoveAll(filepath.Join(dir, fileName(s.name))); err != nil {
				return false, err
			}
		}
		if keep[i], err = load(dir, s); err != nil {
			return false, err
		}
	}
	if !o.list {
		output := filepath.Join(dir, "output")
		if err := os.MkdirAll(output, 0o755); err != nil {
			return false, err
		}
		fmt.Printf("stress: running %d packages until each has %d rounds or %v have passed; %d at a time, with %d busy loops; results are stored in %s\n",
			len(suites), o.rounds, o.budget, o.atOnce, o.loops, dir)
		err = newPlan(suites, keep, o.rounds, o.budget, output, os.Stdout).run(ctx, o.atOnce, o.loops)
		if err == nil && ctx.Err() != nil {
			err = errors.New("stress: interrupted; the next run continues from here")
		}
	}
	return report(os.Stdout, suites, keep), err
}

// buildAll builds the test binaries of the selected packages into dir and prints its progress.
func buildAll(ctx context.Context, o settings, dir string) ([]suite, error) {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return nil, err
	}
	var suites []suite
	modules := []string{root, filepath.Join(root, "e2e")}
	if o.unit {
		modules = modules[:1]
	}
	for _, module := range modules {
		found, err := findSuites(ctx, module)
		if err != nil {
			return nil, err
		}
		suites = append(suites, found...)
	}
	suites = slices.DeleteFunc(suites, func(s suite) bool { return !o.only.MatchString(s.name) })
	if len(suites) == 0 {
		return nil, fmt.Errorf("stress: no package with tests matches %v", o.only)
	}
	if !o.unit && os.Geteuid() != 0 {
		return nil, errors.New("stress: the end-to-end tests must run as root; --unit skips them")
	}
	began := time.Now()
	for i := range suites {
		fmt.Printf("stress: building %d of %d, %v so far: %s\n", i+1, len(suites), time.Since(began).Round(time.Second), suites[i].name)
		if err := suites[i].build(ctx, dir); err != nil {
			return nil, err
		}
	}
	return suites, nil
}

// lock locks the folder with the stored results, so that only one stress command uses it at a time.
// It does not wait for another command but returns an error.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("stress: another run uses %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
