// These tests use TLS without the post-quantum key exchange: with -race, a handshake then needs
// 10 ms less CPU.
//
//go:debug tlsmlkem=0
//go:debug tlssecpmlkem=0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"edge/internal/testkit"
)

// beEdge is the environment variable that makes the test binary run as edge. So exit codes, signals
// and output are those of a real process.
const beEdge = "EDGE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beEdge) != "" {
		main()
		return
	}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} { // a background job may have been started with these signals ignored, and edge would inherit that
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(m.Run())
}

func edgeCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = []string{beEdge + "=1", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}
	return cmd
}

// runEdge runs edge and returns its output and its exit code.
func runEdge(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := edgeCommand(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// files are the paths of the files of a working configuration.
type files struct{ dir, kubeconfig, cert, key string }

func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	f := files{dir, filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	crt, key := testkit.ServerPair()
	if err := errors.Join(cert.WriteCert(f.cert, crt), keyutil.WriteKey(f.key, key)); err != nil {
		t.Fatal(err)
	}
	f.writeKubeconfig(t, "https://127.0.0.1:1", "")
	return f
}

func (f files) writeKubeconfig(t *testing.T, server, userExtra string) {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {token: t%s}}]
`, server, userExtra)
	if err := os.WriteFile(f.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f files) args(more ...string) []string {
	return append([]string{"serve", "--oidc-issuer-url=https://127.0.0.1:1", "--oidc-client-id=edge", "--kubeconfig=" + f.kubeconfig,
		"--tls-cert-file=" + f.cert, "--tls-private-key-file=" + f.key, "--bind-address=127.0.0.1"}, more...)
}

// TestBadConfigurationExits2 checks that a configuration error prints one line that names the flag,
// and exits with code 2 before edge listens. The ports are taken: if edge listened first, the exit
// code would be 1.
func TestBadConfigurationExits2(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)

	missing := filepath.Join(t.TempDir(), "missing")
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("no such thing"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFiles(t)
	impersonating := newFiles(t)
	impersonating.writeKubeconfig(t, "https://127.0.0.1:1", ", as: somebody")
	plain := newFiles(t)
	plain.writeKubeconfig(t, "http://127.0.0.1:1", "")

	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":         {f.args("--no-such-flag"), "--no-such-flag"},
		"unknown command":      {[]string{"sevre"}, "sevre"},
		"argument":             {f.args("extra"), "arguments"},
		"no issuer":            {[]string{"serve", "--oidc-client-id=edge"}, "--oidc-issuer-url"},
		"http issuer":          {f.args("--oidc-issuer-url=http://127.0.0.1"), "--oidc-issuer-url"},
		"no client id":         {[]string{"serve", "--oidc-issuer-url=https://127.0.0.1:1"}, "--oidc-client-id"},
		"missing CA":           {f.args("--oidc-ca-file=" + missing), "--oidc-ca-file"},
		"CA without one":       {f.args("--oidc-ca-file=" + garbage), "--oidc-ca-file"},
		"signing algorithm":    {f.args("--oidc-signing-algs=HS256"), "--oidc-signing-algs"},
		"required claim":       {f.args("--oidc-required-claim=novalue"), "--oidc-required-claim"},
		"missing kubeconfig":   {f.args("--kubeconfig=" + missing), missing},
		"broken kubeconfig":    {f.args("--kubeconfig=" + garbage), "garbage"},
		"unknown context":      {f.args("--context=nowhere"), "nowhere"},
		"kubeconfig with as":   {impersonating.args(), "must not impersonate"},
		"plain API server":     {plain.args(), "https"},
		"missing upstream CA":  {f.args("--certificate-authority=" + missing), missing},
		"request timeout":      {f.args("--request-timeout=soon"), "soon"},
		"upstream streaming":   {f.args("--upstream-streaming=http3"), "--upstream-streaming"},
		"any origin":           {f.args("--allowed-origins=*"), "allowed origin"},
		"no origin":            {f.args("--allowed-origins=console.example.com"), "console.example.com"},
		"missing certificate":  {f.args("--tls-cert-file=" + missing), "--tls-cert-file"},
		"garbage certificate":  {f.args("--tls-cert-file=" + garbage), "--tls-cert-file"},
		"key without one":      {f.args("--tls-cert-file="), "--tls-private-key-file"},
		"unwritable cert dir":  {f.args("--tls-cert-file=", "--tls-private-key-file=", "--cert-dir="+garbage+"/x"), "--cert-dir"},
		"TLS version":          {f.args("--tls-min-version=VersionTLS10"), "--tls-min-version"},
		"cipher suite":         {f.args("--tls-cipher-suites=NONE"), "--tls-cipher-suites"},
		"port":                 {f.args("--secure-port=70000"), "--secure-port"},
		"probe port":           {f.args("--readiness-probe-port=0"), "--readiness-probe-port"},
		"one port for both":    {f.args("--secure-port=8080"), "--readiness-probe-port"},
		"log format":           {f.args("--log-format=xml"), "--log-format"},
		"negative timeout":     {f.args("--request-timeout=-1s"), "--request-timeout"},
		"negative delay":       {f.args("--shutdown-delay-duration=-1s"), "--shutdown-delay-duration"},
		"idle for no time":     {f.args("--idle-timeout=0"), "--idle-timeout"},
		"negative connections": {f.args("--max-connections=-1"), "--max-connections"},
		"too many connections": {f.args("--max-connections=2000000000"), "open files"},
		"no streams in HTTP/2": {f.args("--http2-max-streams-per-connection=0"), "--http2-max-streams-per-connection"},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if !strings.Contains(strings.Join(args, " "), "-port") && args[0] == "serve" {
				args = append(args, "--secure-port="+port)
			}
			stdout, stderr, code := runEdge(t, args...)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if stdout != "" {
				t.Errorf("printed on stdout: %q", stdout)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "edge: ") || !strings.Contains(stderr, c.want) {
				t.Errorf("stderr %q: want one line that begins with %q and has %q", stderr, "edge: ", c.want)
			}
		})
	}
}

func TestTakenPortExits1(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := newFiles(t)
	_, stderr, code := runEdge(t, f.args("--secure-port="+fmt.Sprint(taken.Addr().(*net.TCPAddr).Port))...)
	if code != exitFailed || !strings.Contains(stderr, "--secure-port") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	root, _, code := runEdge(t, "--help")
	if code != 0 || !strings.Contains(root, "edge serve --oidc-issuer-url=") {
		t.Errorf("edge --help: exit %d, %q", code, root)
	}
	serve, _, code := runEdge(t, "serve", "--help")
	if code != 0 {
		t.Errorf("edge serve --help: exit %d", code)
	}
	for _, want := range []string{"Examples:", "OIDC flags:", "Serving flags:", "API server flags:", "Operation flags:", "--oidc-required-claim", "--kubeconfig", "--readiness-probe-port"} {
		if !strings.Contains(serve, want) {
			t.Errorf("edge serve --help lacks %q", want)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if out, _, code := runEdge(t, args...); code != 0 || !strings.HasPrefix(out, "edge ") {
			t.Errorf("%v: exit %d, %q", args, code, out)
		}
	}
}

// TestServeUntilSignal runs edge with an issuer and an API server that do not exist. It checks that
// edge serves, is not ready and reports why, refuses requests, has no probes on the public port,
// and ends orderly.
func TestServeUntilSignal(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	secure, probe := freePort(t), freePort(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := edgeCommand(ctx, f.args("--secure-port="+secure, "--readiness-probe-port="+probe, "--log-format=json", "--shutdown-delay-duration=5s")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()

	get := func(url string) (int, string) {
		for {
			resp, err := insecureClient.Get(url)
			if err == nil {
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				return resp.StatusCode, string(body)
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: %v\n%s", url, err, stderr.String())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if code, _ := get("http://127.0.0.1:" + probe + "/live"); code != http.StatusOK {
		t.Errorf("/live: %d", code)
	}
	if code, body := get("http://127.0.0.1:" + probe + "/ready"); code != http.StatusServiceUnavailable || !strings.Contains(body, "keys") {
		t.Errorf("/ready: %d %q", code, body)
	}
	for _, path := range []string{"/api", "/ready", "/live", "/metrics", "/debug/pprof/"} {
		if code, body := get("https://127.0.0.1:" + secure + path); code != http.StatusUnauthorized || !strings.Contains(body, `"kind":"Status"`) {
			t.Errorf("%s without a token: %d %q", path, code, body)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	for body := ""; !strings.Contains(body, "shutting down"); {
		_, body = get("http://127.0.0.1:" + probe + "/ready")
	}
	if code, _ := get("https://127.0.0.1:" + secure + "/api"); code != http.StatusUnauthorized {
		t.Errorf("in the delay after SIGTERM: %d", code)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("not JSON: %q", line)
		}
	}
}
