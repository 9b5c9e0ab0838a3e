package binaries

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// RepoRoot returns the root folder of edge's source tree: the folder with the go.mod of module
// edge. It searches the working directory and the folders above it, because `go test` and `make`
// run inside the source tree.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module edge\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("binaries: no go.mod of module edge in the working directory or above: run this command inside edge's source tree")
		}
		dir = parent
	}
}
