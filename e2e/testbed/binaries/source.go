package binaries

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// RepoRoot finds the folder of module edge by walking up from the working directory, which is inside it for `go test`
// and for `make`.
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
			return "", errors.New("binaries: run this inside edge's source tree: no go.mod of module edge above the working directory")
		}
		dir = parent
	}
}
