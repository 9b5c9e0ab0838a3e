package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// suite is a package with tests and its test binary.
type suite struct {
	name   string // import path
	dir    string // working directory of the tests
	digest string // hash of the test binary; for the end-to-end tests also of edge's binary
	binary string
	args   []string
	cpus   []int // values of -cpu of the runs of a round; 0: the default
}

// cpus are the values of -cpu of each round.
var cpus = []int{1, 2, 4}

// findSuites lists the packages of a module that have tests.
func findSuites(ctx context.Context, module string) ([]suite, error) {
	list, err := goCommand(ctx, module, "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}{{end}}", "./...")
	if err != nil {
		return nil, err
	}
	var suites []suite
	for line := range strings.Lines(list) {
		if name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			suites = append(suites, suite{name: name, dir: dir, cpus: cpus})
		}
	}
	return suites, nil
}

// build builds the suite's test binary in dir and sets the digest. The same source gives the same
// bytes in every folder.
func (s *suite) build(ctx context.Context, dir string) error {
	s.binary = filepath.Join(dir, fileName(s.name)+".test")
	if s.name != endToEndPackage {
		_, err := goCommand(ctx, s.dir, "test", "-c", "-race", "-vet=off", "-trimpath", "-buildvcs=false", "-o", s.binary, ".")
		if err != nil {
			return err
		}
		s.digest, err = digest(s.binary)
		return err
	}
	// The end-to-end tests run clients and edge as users do, without the race detector.
	s.cpus, s.args = []int{0}, []string{"-test.run=" + timedPattern()}
	if _, err := goCommand(ctx, s.dir, "test", "-c", "-vet=off", "-trimpath", "-buildvcs=false", "-o", s.binary, "."); err != nil {
		return err
	}
	edge := filepath.Join(dir, "edge")
	if _, err := goCommand(ctx, filepath.Dir(s.dir), "build", "-trimpath", "-buildvcs=false", "-o", edge, "./cmd/edge"); err != nil {
		return err
	}
	var err error
	s.digest, err = digest(s.binary, edge)
	return err
}

// goCommand runs the go tool in dir and returns its stdout.
func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("stress: go %s in %s: %w\n%s", args[0], dir, err, stderr.Bytes())
	}
	return string(out), nil
}

// digest returns 16 hexadecimal digits of a hash over the files.
func digest(files ...string) (string, error) {
	h := sha256.New()
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		n, err := io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "\n%d\n", n)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// fileName returns a package's import path in a form that is valid as a file name.
func fileName(pkg string) string { return strings.ReplaceAll(pkg, "/", "_") }
