//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// connectCommand prepares an edge connect that stores its temporary files in runtimeDir.
func connectCommand(t *testing.T, f files, runtimeDir string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := edgeCommand(ctx, append([]string{"connect", "--kubeconfig=" + f.kubeconfig}, args...)...)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+runtimeDir, "KUBECONFIG=/somewhere/else")
	return cmd
}

// mustBeEmpty reports files that edge connect has not deleted.
func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestConnectEnds checks that edge connect ends in the same way as its command, and deletes its
// files.
func TestConnectEnds(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	plain := filepath.Join(f.dir, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		argv   []string
		code   int
		signal syscall.Signal
		says   string // text expected on standard error
	}{
		"success":          {argv: []string{"true"}},
		"exit code":        {argv: []string{"sh", "-c", "exit 7"}, code: 7},
		"255":              {argv: []string{"sh", "-c", "exit 255"}, code: 255},
		"Ctrl-C":           {argv: []string{"sh", "-c", "kill -INT $$"}, signal: syscall.SIGINT},
		"terminated":       {argv: []string{"sh", "-c", "kill -TERM $$"}, signal: syscall.SIGTERM},
		"killed":           {argv: []string{"sh", "-c", "kill -KILL $$"}, signal: syscall.SIGKILL},
		"quit":             {argv: []string{"sh", "-c", "kill -QUIT $$"}, code: 128 + int(syscall.SIGQUIT)},
		"not there":        {argv: []string{"no-such-program"}, code: 127, says: "no-such-program"},
		"no path":          {argv: []string{"/no/such/program"}, code: 127, says: "/no/such/program"},
		"not a program":    {argv: []string{plain}, code: 126, says: plain},
		"flags of its own": {argv: []string{"sh", "-c", `test "$1" = --listen`, "sh", "--listen"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := connectCommand(t, f, dir, append([]string{"--"}, test.argv...)...)
			var said strings.Builder
			cmd.Stderr = &said
			err := cmd.Run()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if test.signal != 0 && (!status.Signaled() || status.Signal() != test.signal) || test.signal == 0 && status.ExitStatus() != test.code {
				t.Errorf("ended with %v: %s", cmd.ProcessState, said.String())
			}
			if (said.Len() > 0) != (test.says != "") || !strings.Contains(said.String(), test.says) {
				t.Errorf("said %q", said.String())
			}
			mustBeEmpty(t, dir)
		})
	}
}

// TestConnectPasses checks that the command gets the caller's streams and environment. It also
// checks the command's kubeconfig: only its owner can read it, and it has the caller's context and
// impersonation.
func TestConnectPasses(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.writeKubeconfig(t, "https://127.0.0.1:1", "oken-of-the-caller, as: jane, as-groups: [dev], as-uid: u, as-user-extra: {team: [a]}")
	dir := t.TempDir()
	cmd := connectCommand(t, f, dir, "--", "sh", "-c", `stat -c %a "$(dirname "$KUBECONFIG")" "$KUBECONFIG"; cat; echo err >&2; cat "$KUBECONFIG"; env >&2`)
	cmd.Env = append(cmd.Env, "KEPT=yes", "no_proxy=example.com")
	cmd.Stdin = strings.NewReader("from stdin\n")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatal(err, errs.String())
	}
	text, ok := strings.CutPrefix(out.String(), "700\n600\nfrom stdin\n")
	if !ok {
		t.Fatal(out.String())
	}
	if strings.Contains(text, "token-of-the-caller") {
		t.Error("the command's file has the caller's own credential")
	}
	config, err := clientcmd.Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	user, cluster := config.AuthInfos["u"], config.Clusters["c"]
	if config.CurrentContext != "c" || user == nil || cluster == nil || !strings.HasPrefix(cluster.Server, "https://127.0.0.1:") {
		t.Fatalf("%+v", config)
	}
	if as := fmt.Sprintf("%s %v %s %v", user.Impersonate, user.ImpersonateGroups, user.ImpersonateUID, user.ImpersonateUserExtra); as != "jane [dev] u map[team:[a]]" {
		t.Errorf("impersonates %s", as)
	}
	for _, want := range []string{"err\n", "KEPT=yes\n", "no_proxy=example.com,127.0.0.1\n", "NO_PROXY=example.com,127.0.0.1\n"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%q is missing in %s", want, errs.String())
		}
	}
	if n := strings.Count(errs.String(), "KUBECONFIG="); n != 1 {
		t.Errorf("KUBECONFIG is there %d times", n)
	}
	mustBeEmpty(t, dir)
}

// TestConnectSignals checks that edge connect passes signals to the command, which decides whether
// to end. If edge is killed, the command ends as well.
func TestConnectSignals(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for name, test := range map[string]struct {
		signal syscall.Signal
		code   int
		left   bool
	}{
		"INT":  {syscall.SIGINT, 40, false},
		"TERM": {syscall.SIGTERM, 41, false},
		"HUP":  {syscall.SIGHUP, 42, false},
		"USR1": {syscall.SIGUSR1, 43, false},
		"KILL": {syscall.SIGKILL, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			const script = `trap 'echo int; exit 40' INT; trap 'echo term; exit 41' TERM; trap 'exit 42' HUP; trap 'exit 43' USR1; echo $$; while :; do sleep 0.05; done`
			cmd := connectCommand(t, f, dir, "--", "sh", "-c", script)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the command has no terminal
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(lines) // reads until the command closes the pipe
			if err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("ended with %v, said %q", cmd.ProcessState, rest)
			}
			// The kernel signals the command when its parent thread ends, and may then make the
			// next thread its parent: the command may get several signals.
			if test.left {
				if string(rest) == "" || strings.Trim(string(rest), "term\n") != "" {
					t.Errorf("the command of a killed edge said %q", rest)
				}
				return
			}
			if strings.Count(string(rest), "\n") > 1 {
				t.Errorf("the command got it more than once: %q", rest)
			}
			if strings.TrimSpace(line) == "" {
				t.Errorf("no process")
			}
			mustBeEmpty(t, dir)
		})
	}
}

// TestConnectUsage checks that flags that make no sense are an error before anything runs.
func TestConnectUsage(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	file := "--kubeconfig=" + f.kubeconfig
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{file}, "edge connect -- kubectl exec"},
		{[]string{file, "--listen=0.0.0.0:8001"}, "not a loopback address"},
		{[]string{file, "--listen=example.com:8001"}, "not a loopback address"},
		{[]string{file, "--listen=127.0.0.1"}, "missing port"},
		{[]string{file, "--listen=127.0.0.1:0", "--", "true"}, "--listen"},
		{[]string{file, "--write-kubeconfig=x", "--", "true"}, "--write-kubeconfig"},
		{[]string{"--kubeconfig=/no/such/file", "--", "true"}, "--kubeconfig"},
		{[]string{file, "--context=none", "--", "true"}, "none"},
		{[]string{"--no-such-flag", "--", "true"}, "--no-such-flag"},
	} {
		_, stderr, code := runEdge(t, append([]string{"connect"}, test.args...)...)
		if code != exitUsage || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, %q", test.args, code, stderr)
		}
	}
	taken := filepath.Join(f.dir, "taken")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := runEdge(t, "connect", file, "--listen=127.0.0.1:0", "--write-kubeconfig="+taken)
	if b, _ := os.ReadFile(taken); code != exitFailed || !strings.Contains(stderr, "--write-kubeconfig") || string(b) != "mine" {
		t.Errorf("exit code %d, %q, and the file is %q", code, stderr, b)
	}
}

// TestConnectCertificate checks that the leaf certificate names the key that signed it, and the
// loopback address. Clients that check strictly (OpenSSL's X509_STRICT, the default in Python 3.13)
// require both.
func TestConnectCertificate(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		c, err := newLoopbackCertificate(net.ParseIP(address))
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.serving.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(c.authority)
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(leaf.AuthorityKeyId) == 0 || !bytes.Equal(leaf.AuthorityKeyId, authority.SubjectKeyId) {
			t.Errorf("the leaf names the key %x, the authority has %x", leaf.AuthorityKeyId, authority.SubjectKeyId)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.pool, DNSName: address}); err != nil {
			t.Error(err)
		}
	}
}

// TestConnectRuntimeDir checks that the command finds its kubeconfig from any folder, for any value
// of $XDG_RUNTIME_DIR.
func TestConnectRuntimeDir(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	list := filepath.Join(t.TempDir(), "a:b")
	if err := os.Mkdir(list, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"testdata", ".", list, "/no/such/folder"} {
		tmp := t.TempDir()
		cmd := connectCommand(t, f, dir, "--", "sh", "-c", `cd / && cat "${KUBECONFIG%%:*}"`)
		cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", dir, err, out)
		}
		mustBeEmpty(t, tmp)
	}
}

// TestConnectAuthProvider checks that edge connect supports the only auth-provider that kubectl
// still supports.
func TestConnectAuthProvider(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.writeKubeconfig(t, "https://127.0.0.1:1", ", auth-provider: {name: oidc, config: {idp-issuer-url: 'https://127.0.0.1:1', client-id: c}}")
	if out, err := connectCommand(t, f, t.TempDir(), "--", "true").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
