package binaries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// JavaRelease is the Java language version of the programs in e2e/java.
const JavaRelease = "17"

// needs are the programs that the testbed takes from the machine's Debian packages.
var needs = []struct {
	program string
	pkg     string   // Debian package that contains it
	dirs    []string // the only folders to search; nil: PATH and the sbin folders
	check   []string // arguments with which the program must exit with 0; nil: it need only exist
	data    bool     // the file is not a program and need not be executable
	extent  Extent   // the program is needed only if this Extent is wanted
}{
	{program: "runc", pkg: "runc"},
	{program: "bridge", pkg: "containernetworking-plugins", dirs: []string{"/usr/lib/cni", "/opt/cni/bin"}},
	{program: "busybox", pkg: "busybox-static"},
	{program: "haproxy", pkg: "haproxy"},
	{program: "nginx", pkg: "nginx", extent: Clients},
	{program: "ip", pkg: "iproute2"},
	{program: "unshare", pkg: "util-linux"},
	{program: "node", pkg: "nodejs"},
	{program: "npm", pkg: "npm"},
	{program: "javac", pkg: "default-jdk-headless", check: []string{"--release", JavaRelease, "-version"}, extent: Clients},
	{program: "okhttp.jar", pkg: "libokhttp-java", dirs: []string{"/usr/share/java"}, data: true, extent: Clients},
	{program: "python3", pkg: "python3-kubernetes", dirs: []string{"/usr/bin"}, check: []string{"-c", "import kubernetes"}, extent: Clients},
	{program: "chromium", pkg: "chromium", extent: Clients},
	{program: "certutil", pkg: "libnss3-tools", extent: Clients},
}

// ensureDebian finds each needed program. It installs the missing ones if the process runs as root
// on Debian.
func ensureDebian(ctx context.Context, progress io.Writer, wanted Extent) (map[string]string, error) {
	found, missing := lookup(ctx, wanted)
	if len(missing) == 0 {
		return found, nil
	}
	const wait = "DPkg::Lock::Timeout=300" // seconds to wait for another apt-get
	install := append([]string{"apt-get", "-o", wait, "install", "-y", "--no-install-recommends"}, missing...)
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return nil, fmt.Errorf("binaries: programs are missing, to install them run as root on Debian: %s", strings.Join(install, " "))
	}
	fmt.Fprintf(progress, "testbed: installing %s\n", strings.Join(missing, " "))
	allow, err := denyServices()
	if err != nil {
		return nil, err
	}
	defer allow()
	for _, args := range [][]string{{"apt-get", "-o", wait, "update"}, install} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("binaries: %s: %w\n%s", strings.Join(args, " "), err, said)
		}
	}
	found, missing = lookup(ctx, wanted)
	if len(missing) > 0 {
		return nil, fmt.Errorf("binaries: packages are installed, but their programs are missing or do not run: %s", strings.Join(missing, " "))
	}
	return found, nil
}

func lookup(ctx context.Context, wanted Extent) (found map[string]string, missing []string) {
	found = map[string]string{}
	for _, n := range needs {
		if n.extent > wanted {
			continue
		}
		path := locate(n.program, n.dirs, n.data)
		if path != "" && n.check != nil && exec.CommandContext(ctx, path, n.check...).Run() != nil {
			path = ""
		}
		if path == "" {
			missing = append(missing, n.pkg)
		}
		found[n.program] = path
	}
	return found, missing
}

// locate searches dirs for a program or, if dirs is nil, PATH and the sbin folders, which a user's
// PATH often lacks. A program has dirs if PATH may find the wrong file: a python3 that does not see
// Debian's modules, or iproute2's "bridge".
func locate(program string, dirs []string, data bool) string {
	if dirs == nil {
		dirs = slices.Concat(filepath.SplitList(os.Getenv("PATH")), []string{"/usr/sbin", "/sbin"})
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, program)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && (data || st.Mode()&0o111 != 0) {
			return path
		}
	}
	return ""
}

// denyServices prevents packages from starting their services during the installation
// (policy-rc.d). allow removes this.
func denyServices() (allow func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) { // the machine has its own policy, which stays in force
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		f.Close()
		os.Remove(policy)
		return nil, err
	}
	return func() { os.Remove(policy) }, f.Close()
}
