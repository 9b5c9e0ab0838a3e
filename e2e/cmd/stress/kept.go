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

// A kept is all runs of one digest of a suite.
type kept struct {
	Package string `json:"package"`
	Digest  string `json:"digest"`
	Runs    []ran  `json:"runs"`

	file string
}

// ran is one run of a test binary that came to its end.
type ran struct {
	CPU     int       `json:"cpu,omitempty"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Failed  []string  `json:"failed,omitempty"` // tests, or what else went wrong
	Output  string    `json:"output,omitempty"` // file, of a run that failed
}

// load reads what is kept of the suite's digest in dir. Nothing is kept of a new one.
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

// add keeps one more run: whole, or not at all.
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

// count is how often the digest ran at a -cpu.
func (k *kept) count(cpu int) (n int) {
	for _, r := range k.Runs {
		if r.CPU == cpu {
			n++
		}
	}
	return n
}

// rounds is how often the digest ran at each of cpus.
func (k *kept) rounds(cpus []int) int {
	least := k.count(cpus[0])
	for _, cpu := range cpus {
		least = min(least, k.count(cpu))
	}
	return least
}

// failures are the runs that failed.
func (k *kept) failures() (failed []ran) {
	for _, r := range k.Runs {
		if len(r.Failed) > 0 {
			failed = append(failed, r)
		}
	}
	return failed
}

// seconds is how long all runs took.
func (k *kept) seconds() (sum float64) {
	for _, r := range k.Runs {
		sum += r.Seconds
	}
	return sum
}

// slowest is the longest run, to let long ones begin first.
func (k *kept) slowest() (most float64) {
	for _, r := range k.Runs {
		most = max(most, r.Seconds)
	}
	return most
}
