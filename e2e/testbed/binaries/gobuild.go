package binaries

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// goPart completes a part (an entry of the cache) that `go build` makes. The part's recipe must be a
// Go module, and its args are the arguments of `go build`. The path after -o is relative to the
// part's folder.
func goPart(p part) part {
	p.make = func(ctx context.Context, p part, out string, t *ticker) error {
		return goCompile(ctx, p, out, t, "build", "-v", "-trimpath")
	}
	return p
}

// goTestPart completes a part that is the program of a package's tests, as `go test -c` makes it. For
// the recipe and the arguments see goPart.
func goTestPart(p part) part {
	p.make = func(ctx context.Context, p part, out string, t *ticker) error {
		return goCompile(ctx, p, out, t, "test", "-c", "-v", "-trimpath")
	}
	return p
}

// goCompile runs a go command, args and then the part's arguments, and reports its progress to t.
func goCompile(ctx context.Context, p part, out string, t *ticker, args ...string) error {
	for i, a := range p.args {
		if i > 0 && p.args[i-1] == "-o" {
			a = filepath.Join(out, a)
			if p.args[i] == "." {
				a += string(filepath.Separator)
			}
		}
		args = append(args, a)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = p.recipe
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	cmd.Env = append(cmd.Env, p.env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	said := readBuild(stderr, t)
	if err := cmd.Wait(); err != nil {
		return errors.Join(fmt.Errorf("go %s: %w", strings.Join(args, " "), err), said)
	}
	return nil
}

// readBuild reads the output of `go build -v` and reports progress to t. The returned error
// contains the last 20 lines that are neither a package's name nor a download; nil: there is no
// such line.
func readBuild(r io.Reader, t *ticker) error {
	const keep = 20
	var said []string
	packages, downloads := 0, 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			downloads++
			t.say(fmt.Sprintf("%d modules fetched", downloads))
		case line != "" && !strings.ContainsAny(line, " \t:#"):
			packages++
			t.say(fmt.Sprintf("%d packages compiled", packages))
		default:
			if said = append(said, line); len(said) > keep {
				said = said[1:]
			}
		}
	}
	if len(said) == 0 {
		return nil
	}
	return errors.New(strings.Join(said, "\n"))
}
