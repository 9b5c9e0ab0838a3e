package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// runTime is the timeout of one run of a package's tests. Tests normally end in a few minutes,
	// but the tests of package bridge have taken more than 20 minutes when many packages ran at the
	// same time on two cores.
	runTime = 60 * time.Minute
	// endToEndTime is the timeout of one run of the end-to-end tests. It includes the time for
	// building the programs that the tests start.
	endToEndTime = 60 * time.Minute
	// endGrace is how long a test binary may take to clean up after SIGTERM or after its
	// -test.timeout, for example to stop clusters.
	endGrace = time.Minute
	// leftGrace is how long processes that a test has killed may take to end.
	leftGrace = 5 * time.Second
	// mostFailed is the largest number of names of failed tests that are stored per run.
	mostFailed = 20
)

// errEnded is the error of a run that stress stopped because stress itself ends. Its result is not
// stored.
var errEnded = errors.New("stress: ended")

// failedTest matches the line that the testing package prints for a failed test.
var failedTest = regexp.MustCompile(`^\s*--- FAIL: (\S+)`)

// run runs the package's test binary once and writes its output to a file. A failed test is part of
// the result and not an error.
func (s *suite) run(ctx context.Context, cpu int, output string) (ran, error) {
	limit := runTime
	if s.name == endToEndPackage {
		limit = endToEndTime
	}
	out, err := os.Create(output)
	if err != nil {
		return ran{}, err
	}
	defer out.Close()
	args := []string{"-test.paniconexit0", "-test.shuffle=on", "-test.timeout=" + limit.String()}
	if cpu > 0 {
		args = append(args, "-test.cpu="+strconv.Itoa(cpu))
	}
	bounded, cancel := context.WithTimeout(ctx, limit+endGrace)
	defer cancel()
	cmd := exec.CommandContext(bounded, s.binary, append(args, s.args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, out, out
	// The test binary gets its own process group. So Ctrl-C does not reach it directly but only
	// through cmd.Cancel, and leftBehind finds the processes that the tests leave. The parent-death
	// signal ends the tests if stress itself is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endGrace
	r := ran{CPU: cpu, Began: time.Now().UTC().Truncate(time.Second)}
	began := time.Now()
	err = cmd.Run()
	r.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	var left []string
	if cmd.Process != nil {
		left = leftBehind(cmd.Process.Pid, ctx.Err() == nil)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	switch {
	case ctx.Err() != nil:
		return ran{}, errEnded
	case err != nil:
		fmt.Fprintf(out, "stress: %v\n", err)
		if r.Failed, err = failedTests(output); err != nil {
			return ran{}, err
		}
	case len(left) > 0:
		fmt.Fprintf(out, "stress: the tests passed but left processes behind: %q\n", left)
		r.Failed = []string{"processes left behind"}
	}
	if len(r.Failed) > 0 {
		r.Output = output
		return r, nil
	}
	return r, os.Remove(output)
}

// failedTests reads the output of a failed run and returns the names of the failed tests. If the
// output contains no name, for example after a panic, it returns the output's last line.
func failedTests(output string) ([]string, error) {
	f, err := os.Open(output)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var failed []string
	last := ""
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadString('\n')
		if m := failedTest.FindStringSubmatch(line); m != nil && len(failed) < mostFailed && !slices.Contains(failed, m[1]) {
			failed = append(failed, m[1])
		}
		if len(line) > 1 {
			last = line[:min(len(line)-1, 200)]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(failed) == 0 {
		failed = []string{last}
	}
	return failed, nil
}

// leftBehind returns the names of the processes that are still in the process group. If wait is
// true, it waits for at most leftGrace until there are none.
func leftBehind(group int, wait bool) (names []string) {
	for end := time.Now().Add(leftGrace); ; time.Sleep(50 * time.Millisecond) {
		names = names[:0]
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, file := range stats {
			b, err := os.ReadFile(file)
			if err != nil {
				continue // the process has ended since Glob listed it
			}
			// /proc/<pid>/stat contains: pid (name) state ppid pgrp ...; see proc_pid_stat(5).
			at := bytes.LastIndexByte(b, ')')
			if rest := strings.Fields(string(b[at+1:])); at > 0 && len(rest) > 2 && rest[0] != "Z" && rest[2] == strconv.Itoa(group) {
				names = append(names, string(b[:at+1]))
			}
		}
		if len(names) == 0 || !wait || time.Now().After(end) {
			return names
		}
	}
}
