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

// suite is a package that has tests, with its test binary.
type suite struct {
	name   string // import path of the package
	dir    string // working directory of the tests: the package's folder
	digest string // hash of the test binary; for the end-to-end tests, of edge's binary too
	binary string
	args   []string
	cpus   []int // values of the test flag -cpu with which a round runs the tests; 0: without -cpu
}

// cpus are the values of the flag -cpu with which each round runs the tests of a package.
var cpus = []int{1, 2, 4}

// unitArgs are the test flags of all packages but endToEndPackage. With -short, tests that try
// thousands of inputs take a part of these: their result does not depend on time.
// Many tests wait for edge's timers, so more tests run in parallel than there are cores.
var unitArgs = []string{"-test.short", "-test.parallel=8"}

// findSuites lists the packages that have tests in a Go module.
func findSuites(ctx context.Context, module string) ([]suite, error) {
	list, err := goCommand(ctx, module, "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}{{end}}", "./...")
	if err != nil {
		return nil, err
	}
	var suites []suite
	for line := range strings.Lines(list) {
		if name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			suites = append(suites, suite{name: name, dir: dir, args: unitArgs, cpus: cpus})
		}
	}
	return suites, nil
}

// build builds the package's test binary into the folder dir and sets s.digest. The same source
// gives the same binary in every folder, so the digest depends only on the source.
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
	// Only the end-to-end tests in timedTests run, once per round and without -cpu. They start real
	// clients and a normal build of edge, so their binary is built without the race detector.
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

// goCommand runs the go tool in the folder dir and returns what it prints on stdout.
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

// digest returns a hash over the files' contents, as 16 hexadecimal digits.
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

// fileName converts a package's import path to a valid file name.
func fileName(pkg string) string { return strings.ReplaceAll(pkg, "/", "_") }
