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

// kept is the stored result of all runs of a suite with one digest.
type kept struct {
	Package string `json:"package"`
	Digest  string `json:"digest"`
	Runs    []ran  `json:"runs"`

	file string
}

// ran is the result of one completed run of a test binary.
type ran struct {
	CPU     int       `json:"cpu,omitempty"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Failed  []string  `json:"failed,omitempty"` // names of failed tests, or another failure
	Output  string    `json:"output,omitempty"` // path of the output file; only for a failed run
}

// load reads the stored runs of the suite's digest from dir. A new digest has no runs.
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
		return nil, fmt.Errorf("stress: %s: %w (--forget removes it)", k.file, err)
	}
	return k, nil
}

// add appends r and rewrites the file atomically.
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

// count returns the number of runs at one value of -cpu.
func (k *kept) count(cpu int) (n int) {
	for _, r := range k.Runs {
		if r.CPU == cpu {
			n++
		}
	}
	return n
}

// rounds returns the number of complete rounds: how often the digest ran at every value in cpus.
func (k *kept) rounds(cpus []int) int {
	least := k.count(cpus[0])
	for _, cpu := range cpus {
		least = min(least, k.count(cpu))
	}
	return least
}

// failures returns the failed runs.
func (k *kept) failures() (failed []ran) {
	for _, r := range k.Runs {
		if len(r.Failed) > 0 {
			failed = append(failed, r)
		}
	}
	return failed
}

// seconds returns the total duration of all runs, in seconds.
func (k *kept) seconds() (sum float64) {
	for _, r := range k.Runs {
		sum += r.Seconds
	}
	return sum
}

// slowest returns the duration of the longest run, in seconds. The plan starts long suites first.
func (k *kept) slowest() (most float64) {
	for _, r := range k.Runs {
		most = max(most, r.Seconds)
	}
	return most
}
