package main

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

// findPrograms finds the programs nginx and haproxy if proxies names them. It installs a missing
// program if bench runs as root on Debian.
func (l *lab) findPrograms(ctx context.Context, proxies []string, progress io.Writer) error {
	found, missing := lookup(proxies)
	if len(missing) > 0 {
		if err := install(ctx, missing, progress); err != nil {
			return err
		}
		if found, missing = lookup(proxies); len(missing) > 0 {
			return fmt.Errorf("bench: programs are still missing after the installation: %s", strings.Join(missing, " "))
		}
	}
	l.programs = found
	return nil
}

// lookup finds the programs of the named proxies that are Debian packages. found contains the path
// of each program by name; missing contains the names whose program is not installed.
func lookup(proxies []string) (found map[string]string, missing []string) {
	found = map[string]string{}
	for _, name := range proxies {
		p := peerNamed(name)
		if p.program == "" {
			continue
		}
		if path := locate(p.program); path != "" {
			found[p.program] = path
			continue
		}
		missing = append(missing, p.program)
	}
	return found, missing
}

// locate finds a program in PATH and in the sbin folders, which are often not in a user's PATH.
func locate(program string) string {
	for _, dir := range slices.Concat(filepath.SplitList(os.Getenv("PATH")), []string{"/usr/sbin", "/sbin"}) {
		path := filepath.Join(dir, program)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

func install(ctx context.Context, packages []string, progress io.Writer) error {
	const wait = "DPkg::Lock::Timeout=300" // apt-get waits up to 300 s if another apt-get is installing packages
	command := append([]string{"apt-get", "-o", wait, "install", "-y", "--no-install-recommends"}, packages...)
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("bench: programs are missing; as root on Debian run: %s; or omit them with --proxies", strings.Join(command, " "))
	}
	fmt.Fprintf(progress, "bench: installing %s\n", strings.Join(packages, " "))
	allow, err := denyServices()
	if err != nil {
		return err
	}
	defer allow()
	for _, args := range [][]string{{"apt-get", "-o", wait, "update"}, command} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("bench: %s: %w\n%s", strings.Join(args, " "), err, said)
		}
	}
	return nil
}

// denyServices prevents apt-get from starting the services of packages (nginx, HAProxy) that it
// installs. The function allow permits it again.
func denyServices() (allow func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) { // the machine already has a policy-rc.d (which services may start); keep it
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bench: prevent services from starting: %w", err)
	}
	allow = func() { _ = os.Remove(policy) }
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		allow()
		return nil, fmt.Errorf("bench: prevent services from starting: %w", err)
	}
	return allow, nil
}
