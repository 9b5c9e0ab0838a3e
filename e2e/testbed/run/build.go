package run

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// BuildEdge compiles edge (cmd/edge of this source tree) once per run of the testbed and returns
// the program's path.
func (r *Run) BuildEdge(ctx context.Context) (string, error) {
	return r.compile(ctx, "edge", ".")
}

// BuildInpod compiles inpod (e2e/cmd/inpod), the server that tests run inside pods, once per run of
// the testbed, and returns the program's path.
func (r *Run) BuildInpod(ctx context.Context) (string, error) {
	return r.compile(ctx, "inpod", "e2e")
}

// compile compiles cmd/<name> of a Go module of this source tree, once per run of the testbed, and
// returns the program's path.
func (r *Run) compile(ctx context.Context, name, module string) (string, error) {
	return r.MakeOnce(name, func(program string) error {
		root, err := binaries.RepoRoot()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/"+name)
		cmd.Dir = filepath.Join(root, module)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("testbed: build %s: %w\n%s", name, err, said)
		}
		return nil
	})
}

// MakeOnce returns the path <state folder>/<name>. The first call for a name first calls build,
// which makes the file or folder at this path.
func (r *Run) MakeOnce(name string, build func(path string) error) (string, error) {
	r.build.Lock()
	defer r.build.Unlock()
	path := filepath.Join(r.Dir, name)
	if r.built[name] {
		return path, nil
	}
	if err := build(path); err != nil {
		return "", err
	}
	if r.built == nil {
		r.built = map[string]bool{}
	}
	r.built[name] = true
	return path, nil
}
