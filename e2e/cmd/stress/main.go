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

// settings are what runs, and for how long.
type settings struct {
	root   string // of the repository
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
	flag.StringVar(&o.root, "root", "..", "the repository's folder")
	flag.DurationVar(&o.budget, "budget", 90*time.Minute, "how long runs may begin, the building of tests not counted")
	flag.IntVar(&o.rounds, "rounds", 30, "how many rounds each package has in all")
	flag.IntVar(&o.atOnce, "p", runtime.NumCPU(), "how many test binaries run at a time")
	flag.IntVar(&o.loops, "busy", busyLoops, "how many busy loops run beside them")
	flag.BoolVar(&o.unit, "unit", false, "edge's own module only, which needs no root")
	flag.BoolVar(&o.list, "list", false, "print what is kept of this code, and run nothing")
	flag.BoolVar(&o.forget, "forget", false, "remove first what is kept of the packages")
	flag.Func("only", "`pattern` of the packages' import paths", func(v string) (err error) {
		o.only, err = regexp.Compile(v)
		return err
	})
	flag.Parse()
	if flag.NArg() > 0 || o.budget < 0 || o.rounds < 1 || o.atOnce < 1 || o.loops < 0 {
		fmt.Fprintln(os.Stderr, "stress: there are flags only, and no number is negative (see --help)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends it at once
	}()
	passed, err := stress(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// stress builds, runs and reports.
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
		fmt.Printf("stress: %d packages, until each has had %d rounds or %v are over; %d at a time beside %d busy loops; kept in %s\n",
			len(suites), o.rounds, o.budget, o.atOnce, o.loops, dir)
		err = newPlan(suites, keep, o.rounds, o.budget, output, os.Stdout).run(ctx, o.atOnce, o.loops)
		if err == nil && ctx.Err() != nil {
			err = errors.New("stress: interrupted; the next run goes on from here")
		}
	}
	return report(os.Stdout, suites, keep), err
}

// buildAll builds the test binaries of both modules, and says how far it is.
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
		return nil, fmt.Errorf("stress: no package with tests is like %v", o.only)
	}
	if !o.unit && os.Geteuid() != 0 {
		return nil, errors.New("stress: the end-to-end tests need root; --unit leaves them out")
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

// lock keeps a second stress out of the folder.
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
