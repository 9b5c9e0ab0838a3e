package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// kept is the stored result of all runs of one test binary. The digest identifies the binary.
type kept struct {
	Package string `json:"package"`
	Digest  string `json:"digest"`
	Runs    []ran  `json:"runs"`

	file string
}

// ran is the result of one completed run of a package's test binary.
type ran struct {
	CPU     int       `json:"cpu,omitempty"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	// names of the tests that failed, or a description of another failure
	Failed []string `json:"failed,omitempty"`
	// path of the file with the run's output; empty if the run succeeded
	Output string `json:"output,omitempty"`
}

// load reads the stored results of the test binary with the suite's digest from dir. If dir
// contains no results for this digest, load returns a kept without runs.
func load(dir string, s suite) (*kept, error) {
	k := &kept{Package: s.name, Digest: s.digest, file: filepath.Join(dir, fileName(s.name), s.digest+".json")}
	b, err := os.ReadFile(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(b, k)
	}
	if err != nil {
		return nil, fmt.Errorf("stress: cannot read the stored results in %s: %w (--forget deletes this file)", k.file, err)
	}
	return k, nil
}

// add appends the result of a run and replaces the stored file atomically.
func (k *kept) add(r ran) error {
	k.Runs = append(k.Runs, r)
	b, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(k.file+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(k.file+".new", k.file)
}

// count returns the number of completed runs with this value of -cpu.
func (k *kept) count(cpu int) (n int) {
	for _, r := range k.Runs {
		if r.CPU == cpu {
			n++
		}
	}
	return n
}

// rounds returns the number of complete rounds: the smallest number of runs with any of the values
// of -cpu in cpus.
func (k *kept) rounds(cpus []int) int {
	least := k.count(cpus[0])
	for _, cpu := range cpus {
		least = min(least, k.count(cpu))
	}
	return least
}

// failures returns the results of the runs that failed.
func (k *kept) failures() (failed []ran) {
	for _, r := range k.Runs {
		if len(r.Failed) > 0 {
			failed = append(failed, r)
		}
	}
	return failed
}

// seconds returns the total duration of all completed runs, in seconds.
func (k *kept) seconds() (sum float64) {
	for _, r := range k.Runs {
		sum += r.Seconds
	}
	return sum
}

// slowest returns the duration of the longest completed run, in seconds. With this duration, stress
// decides which test binaries it starts first: the slow ones.
func (k *kept) slowest() (most float64) {
	for _, r := range k.Runs {
		most = max(most, r.Seconds)
	}
	return most
}
