package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newProgramLab returns a lab in which the programs nginx and haproxy are installed.
func newProgramLab(t *testing.T) *lab {
	expectNothingLeft(t)
	l, err := openLab(t.Context(), settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close) // cleanups run in reverse order: the lab is closed before expectNothingLeft checks that no process is left
	if err := l.findPrograms(t.Context(), []string{"nginx", "haproxy"}, t.Output()); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestProgramsAgreeOnTheSameTLS checks that all proxies negotiate the same TLS version and cipher
// suite, because another cipher suite would have another CPU cost.
func TestProgramsAgreeOnTheSameTLS(t *testing.T) {
	l := newProgramLab(t)
	agreed := map[string]string{}
	for _, name := range []string{"relay", "nginx", "haproxy"} {
		kind := peerNamed(name)
		p, err := l.startProxy(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", p.target.address, p.target.tlsConfig())
		if err != nil {
			t.Fatal(err)
		}
		state := conn.ConnectionState()
		_ = conn.Close()
		agreed[name] = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	}
	if agreed["nginx"] != agreed["relay"] || agreed["haproxy"] != agreed["relay"] {
		t.Errorf("with the client: %q", agreed)
	}
}

// TestProgramsAreOneProcess checks that nginx and HAProxy have no child processes, so that the CPU
// time and memory of one process are those of the whole proxy.
func TestProgramsAreOneProcess(t *testing.T) {
	l := newProgramLab(t)
	for _, name := range []string{"nginx", "haproxy"} {
		kind := peerNamed(name)
		p, err := l.startProxy(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range tinyExperiments() {
			if _, err := e.turn(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		checkFailures(t, p)
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
		if len(files) == 0 {
			t.Errorf("%s: this kernel lists no children", name)
		}
		for _, file := range files {
			if children, err := os.ReadFile(file); err != nil || len(bytes.TrimSpace(children)) > 0 {
				t.Errorf("%s has children: %s, %v", name, children, err)
			}
		}
	}
}

func TestProgramsVerifyUpstream(t *testing.T) {
	l := newProgramLab(t)
	another, err := newPKI(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l.pki.caFile = another.caFile
	for _, name := range []string{"nginx", "haproxy"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		kind := peerNamed(name)
		if _, err := l.startProxy(ctx, kind); err == nil || !strings.Contains(err.Error(), name+" is not ready") {
			t.Errorf("%s in front of an upstream of another authority: %v", name, err)
		}
	}
}

func TestMissingProgramsAreNamedWithTheCommand(t *testing.T) {
	t.Setenv("PATH", "") // empty, so that bench does not find apt-get
	err := install(t.Context(), []string{"nginx", "haproxy"}, io.Discard)
	const want = "apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends nginx haproxy; or omit them with --proxies"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
