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

// JavaRelease is the version of the Java language in which the programs in e2e/java are written.
const JavaRelease = "17"

// needs are the programs that the testbed does not build but takes from Debian packages on this
// machine.
var needs = []struct {
	program string
	pkg     string // name of the Debian package that contains the program
	// the only folders in which the program is searched; nil: PATH and the sbin folders
	dirs []string
	// the program must exit with 0 when run with these arguments; nil: it is not run
	check []string
	data  bool // true: a data file such as a jar, which need not be executable
	// the program is needed only if Ensure is called with this Extent or a larger one
	extent Extent
}{
	{program: "runc", pkg: "runc"},
	{program: "bridge", pkg: "containernetworking-plugins", dirs: []string{"/usr/lib/cni", "/opt/cni/bin"}},
	{program: "busybox", pkg: "busybox-static"},
	{program: "haproxy", pkg: "haproxy"},
	{program: "nginx", pkg: "nginx", extent: Clients},
	{program: "ip", pkg: "iproute2"},
	{program: "unshare", pkg: "util-linux"},
	{program: "nsenter", pkg: "util-linux", extent: Clients},
	{program: "iptables", pkg: "iptables", extent: Clients}, // kube-proxy runs it
	{program: "curl", pkg: "curl", extent: Clients},
	{program: "node", pkg: "nodejs"},
	{program: "npm", pkg: "npm"},
	{program: "javac", pkg: "default-jdk-headless", check: []string{"--release", JavaRelease, "-version"}, extent: Clients},
	{program: "okhttp.jar", pkg: "libokhttp-java", dirs: []string{"/usr/share/java"}, data: true, extent: Clients},
	{program: "python3", pkg: "python3-kubernetes", dirs: []string{"/usr/bin"}, check: []string{"-c", "import kubernetes"}, extent: Clients},
	{program: "chromium", pkg: "chromium", extent: Clients},
	{program: "firefox-esr", pkg: "firefox-esr", extent: Clients},
	{program: "certutil", pkg: "libnss3-tools", extent: Clients},
	{program: "prometheus", pkg: "prometheus", extent: Clients},
	{program: "promtool", pkg: "prometheus", extent: Clients},
}

// ensureDebian finds the path of each program in needs. If programs are missing, and the process
// runs as root on Debian, it installs their packages.
func ensureDebian(ctx context.Context, progress io.Writer, wanted Extent) (map[string]string, error) {
	found, missing := lookup(ctx, wanted)
	if len(missing) == 0 {
		return found, nil
	}
	// apt-get waits for at most 300 s until another apt-get has ended
	const wait = "DPkg::Lock::Timeout=300"
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

// locate returns the path of a program, or "" if it does not find the program. It searches dirs or,
// if dirs is nil, PATH and the sbin folders, which a user's PATH often lacks. A program has dirs if
// PATH might lead to a wrong file: to a python3 that cannot import Debian's modules, or to
// iproute2's "bridge".
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

// denyServices prevents Debian packages from starting services when they are installed. It writes a
// policy-rc.d file for this; the function allow removes the file.
func denyServices() (allow func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) { // this machine already has a policy-rc.d, which stays as it is
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
