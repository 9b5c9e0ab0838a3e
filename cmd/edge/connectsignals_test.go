//go:build unix

package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// awaitFile waits until edge connect has written its kubeconfig completely.
func awaitFile(t *testing.T, pattern string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(pattern); len(found) == 1 {
			if c, err := clientcmd.LoadFromFile(found[0]); err == nil && c.CurrentContext != "" {
				return found[0]
			}
		}
	}
	t.Fatal("no kubeconfig is written")
	return ""
}

// TestConnectEarlySignal checks that a signal is not lost if it arrives before the command runs, or
// while the command starts.
func TestConnectEarlySignal(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for range 10 {
		dir := t.TempDir()
		cmd := connectCommand(t, f, dir, "--", "sh", "-c", "sleep 2; echo ran to its end")
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitFile(t, filepath.Join(dir, "*", "kubeconfig"))
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM || out.Len() > 0 {
			t.Errorf("ended with %v, said %q", cmd.ProcessState, out.String())
		}
		mustBeEmpty(t, dir)
	}
}

// TestConnectIgnoredSignal checks that the command ignores the signals that edge was started to
// ignore, for example in the background of a script. Go's runtime reports only SIGHUP and SIGINT as
// ignored.
func TestConnectIgnoredSignal(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	cmd := connectCommand(t, f, t.TempDir(), "--", "sh", "-c", "kill -INT $$; kill -HUP $$; echo alive")
	cmd.Args = append([]string{"sh", "-c", `trap "" INT HUP; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if out, err := cmd.Output(); err != nil || string(out) != "alive\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestConnectListenEnds checks that edge connect deletes its file, whichever signal ends it, and
// even if it gets the signal several times. Log lines to a closed standard error do not end edge.
func TestConnectListenEnds(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		dir := t.TempDir()
		cmd := connectCommand(t, f, dir, "--listen=127.0.0.1:0", "--write-kubeconfig="+filepath.Join(dir, "k"))
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		cmd.Stdout, cmd.Stderr = io.Discard, write
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		write.Close()
		c, err := clientcmd.LoadFromFile(awaitFile(t, filepath.Join(dir, "k")))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodGet, c.Clusters["c"].Server+"/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.AuthInfos["u"].Token)
		for range 2 { // each request causes a log line, because the API server does not exist
			resp, err := insecureClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusBadGateway {
				t.Errorf("answered %s", resp.Status)
			}
		}
		for range 3 {
			cmd.Process.Signal(s)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		mustBeEmpty(t, dir)
	}
}
