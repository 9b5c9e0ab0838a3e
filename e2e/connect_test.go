package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"edge/e2e/testbed"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// connectVersion is the version of kubectl in the tests of `edge connect`. It supports only SPDY.
const connectVersion = "1.24"

// connectShell starts an interactive shell in a terminal. The shell's variable $kubectl runs an old
// kubectl: directly against edge or, if connect is true, with `edge connect` through the load
// balancer.
func connectShell(ctx context.Context, t *testing.T, s *site, connect bool) *clients.Terminal {
	t.Helper()
	edge, err := bed.BuildEdge(ctx)
	if err != nil {
		t.Fatal(err)
	}
	program := bed.Bin.Kubectl[connectVersion]
	kubectl := fmt.Sprintf("kubectl=%s --kubeconfig=%s", program, s.kubeconfig(t, direct, "alice"))
	if connect {
		kubectl = fmt.Sprintf("kubectl=%s connect --kubeconfig=%s -- %s", edge, s.kubeconfig(t, balanced, "alice"), program)
	}
	shell, err := bed.Shell(ctx, kubectl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shell.Close)
	return shell
}

// say carries out steps in a terminal. In each step, it types the first text and waits until the
// terminal shows the second.
func say(ctx context.Context, t *testing.T, terminal *clients.Terminal, steps ...[2]string) {
	t.Helper()
	for _, step := range steps {
		if err := terminal.Type(step[0]); err != nil {
			t.Fatal(err)
		}
		if err := terminal.Expect(ctx, step[1]); err != nil {
			t.Fatalf("after %q: %v", step[0], err)
		}
	}
}

// The characters that a terminal sends for Ctrl-C, Ctrl-D and Ctrl-Z.
const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)

// TestConnectJobControl checks that Ctrl-C, Ctrl-Z, fg, bg and the end of input work with `edge
// connect` as without it. The typed commands contain $((...)), so that their output differs from
// the terminal's echo of the typed text.
func TestConnectJobControl(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for name, steps := range map[string][][2]string{
			"Ctrl-C": {
				{"$kubectl exec shell -- sh -c 'echo started $((40+2)); sleep 60'\n", "started 42"},
				{ctrlC, "ready> "}, {"echo code $? is $((100+30))\n", "code 130 is 130"},
			},
			"Ctrl-C in a terminal": { // the shell in the pod handles the Ctrl-C
				{"$kubectl exec -it shell -- sh -c 'trap \"echo caught $((40+2))\" INT; echo started $((40+3)); while :; do sleep 0.1; done'\n", "started 43"},
				{ctrlC, "caught 42"},
				{"\x1c", "ready> "}, // Ctrl-\ ends the exec, and the local shell shows its prompt
			},
			"Ctrl-Z, fg": {
				{"$kubectl exec shell -- sh -c 'echo started $((40+2)); i=0; while [ $i -lt 30 ]; do i=$((i+1)); sleep 0.1; done; echo ended $((50+2)); exit 9'\n", "started 42"},
				{ctrlZ, "Stopped"}, {"echo shell $((60+6))\n", "shell 66"},
				{"fg\n", "ended 52"}, {"echo code $? of $((70+7))\n", "code 9 of 77"},
			},
			"Ctrl-Z, bg": {
				{"$kubectl exec shell -- sh -c 'echo started $((40+2)); sleep 2; echo ended $((50+2)); exit 8'\n", "started 42"},
				{ctrlZ, "Stopped"}, {"bg\n", "&"}, {"wait %1; echo code $? of $((70+7))\n", "ended 52"}, {"", "code 8 of 77"},
			},
			"end of input": {
				{"$kubectl exec -i shell -- sh -c 'echo started $((40+2)); cat; echo read all $((50+5)); exit 6'\n", "started 42"},
				{"line\n", "line\r\nline"}, {ctrlD, "read all 55"}, {"echo code $? of $((70+7))\n", "code 6 of 77"},
			},
			"closed stdin": {
				{"$kubectl exec -i shell -- sh -c 'cat; echo read all $((50+5)); exit 5' <&-\n", "read all 55"},
				{"echo code $? of $((70+7))\n", "code 5 of 77"},
			},
			"pipe": {
				{"$kubectl exec shell -- sh -c 'while :; do echo y; done' | head -n 1000 | wc -l; echo codes ${PIPESTATUS[@]:1} $((40+2))\n", "codes 0 0 42"},
			},
			"a job that is killed": {
				{"$kubectl exec shell -- sh -c 'echo started $((40+2)); sleep 60' &\n", "started 42"},
				{"kill %1; wait %1; echo code $? of $((70+7))\n", "code 143 of 77"},
			},
		} {
			for way, connect := range map[string]bool{"edge connect": true, "without": false} {
				t.Run(name+"/"+way, func(t *testing.T) {
					t.Parallel()
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					say(ctx, t, connectShell(ctx, t, s, connect), steps...)
				})
			}
		}
	})
}

// TestConnectLost checks that a kubectl run by `edge connect` fails when the connection to the
// server is lost.
func TestConnectLost(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp})
		file, err := bed.Kubeconfig(edge.Access(tokens["alice"]))
		if err != nil {
			t.Fatal(err)
		}
		k, err := bed.Kubectl(connectVersion, file).ThroughConnect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		said, err := startLines(ctx, k.Command, "exec", "shell", "--", "sh", "-c", "echo started; sleep 60")
		if err != nil {
			t.Fatal(err)
		}
		defer said.stop()
		if err := said.expect(ctx, "started"); err != nil {
			t.Fatal(err)
		}
		forward, err := k.PortForward(ctx, "pod/shell", 8080)
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Stop()
		edge.Process.Kill()
		if code := waitCode(said); code <= 0 {
			t.Errorf("exec ended with %d: %s", code, said.stderr.String())
		}
		select {
		case <-forward.Ended():
		case <-ctx.Done():
			t.Error("port-forward did not end")
		}
		if !strings.Contains(forward.Said(), "lost connection to pod") || forward.Code() == 0 {
			t.Errorf("port-forward ended with code %d, output %q", forward.Code(), forward.Said())
		}
	})
}

// TestConnectNowhere checks `edge connect` if neither WebSocket nor SPDY can work: the API server
// supports no WebSocket, and the load balancer in front of it no SPDY. Requests without an upgrade
// must work. An exec must fail with an error that names both reasons.
func TestConnectNowhere(t *testing.T) {
	s := sites[cluster.Old]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	alb, err := bed.StartClusterALB(ctx, s.cluster)
	if err != nil {
		t.Fatal(err)
	}
	// The command below contains the option --as, which needs the right to impersonate users. So
	// use the token of edge's own service account, which has this right.
	token, err := s.cluster.EdgeToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	file, err := bed.Kubeconfig(alb.Access(token))
	if err != nil {
		t.Fatal(err)
	}
	k, err := bed.Kubectl(connectVersion, file).ThroughConnect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	as := []string{"--as=" + testbed.UsernamePrefix + "alice", "--as-group=" + testbed.GroupsPrefix + "dev"}
	if r := k.Run(ctx, append(as, "get", "pod", "shell", "-o", "name")...); want(r, 0, "pod/shell\n") != nil {
		t.Error(want(r, 0, "pod/shell\n"))
	}
	r := k.RunInput(ctx, strings.NewReader("x"), append(as, "exec", "-i", "shell", "--", "cat")...)
	if r.Code == 0 || !strings.Contains(string(r.Stderr), "neither over WebSocket") {
		t.Errorf("code %d, stderr %s", r.Code, r.Stderr)
	}
}

// TestConnectLeavesNothing runs `edge connect` many times and checks that no file, process or
// listener is left behind.
func TestConnectLeavesNothing(t *testing.T) {
	t.Parallel()
	leavesNothing(t, sites[cluster.New], 25)
}

// leavesNothing runs `edge connect` with commands that succeed, fail or are killed, in turn, and
// checks that no file, process or listener is left behind.
func leavesNothing(t *testing.T, s *site, runs int) {
	t.Helper()
	runtimeDir, kubeconfig := t.TempDir(), s.kubeconfig(t, balanced, "alice")
	env := []string{"XDG_RUNTIME_DIR=" + runtimeDir}
	for i := range runs {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		argv := []string{"--", bed.Bin.Kubectl[connectVersion], "exec", "shell", "--", "sh", "-c", fmt.Sprintf("exit %d", i%2)}
		code := i % 2
		if i%3 == 2 { // kill the command that `edge connect` runs, during an exec
			argv = []string{"--", "sh", "-c", `"$0" exec shell -- sleep 60 & sleep 0.3; kill -9 $! $$`, bed.Bin.Kubectl[connectVersion]}
			code = -1
		}
		cmd, err := bed.Connect(ctx, kubeconfig, env, argv...)
		if err != nil {
			t.Fatal(err)
		}
		r := clients.RunCommand(ctx, cmd, nil)
		cancel()
		if r.Code != code {
			t.Fatalf("run %d: code %d (%v), want %d: %s", i, r.Code, r.Err, code, r.Stderr)
		}
		if err := gone(cmd.Process.Pid); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(runtimeDir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// gone returns an error if a process group still has members. `edge connect`, its command and every
// process that might still listen belong to the group.
func gone(group int) error {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended since the folder /proc was read
		}
		// fields of /proc/<pid>/stat after the name: state, parent, process group
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if fields[2] == strconv.Itoa(group) && fields[0] != "Z" {
			return fmt.Errorf("process %s is still running", filepath.Dir(path))
		}
	}
	return nil
}

// TestConnectListen checks `edge connect --listen`. The address that it listens on must serve
// clients that use the kubeconfig that it wrote, and refuse all others. After the end of `edge
// connect`, the kubeconfig and the listener must be gone.
func TestConnectListen(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		file := filepath.Join(t.TempDir(), "kubeconfig")
		cmd, err := bed.Connect(ctx, s.kubeconfig(t, balanced, "alice"), nil, "--listen=127.0.0.1:0", "--write-kubeconfig="+file)
		if err != nil {
			t.Fatal(err)
		}
		said, err := watchLines(cmd, cancel)
		if err != nil {
			t.Fatal(err)
		}
		defer said.stop()
		if err := said.expect(ctx, "Ctrl-C ends it."); err != nil {
			t.Fatal(err)
		}
		k := bed.Kubectl(connectVersion, file)
		r := k.RunInput(ctx, strings.NewReader("a line\n"), "exec", "-i", "shell", "--", "sh", "-c", "cat; exit 4")
		if err := want(r, 4, "a line\n"); err != nil {
			t.Error(err)
		}
		if r = k.Run(ctx, "get", "pods", "--token=another"); r.Code == 0 || !strings.Contains(string(r.Stderr), "edge connect") {
			t.Errorf("another token: code %d, %s", r.Code, r.Stderr)
		}
		config, err := clientcmd.LoadFromFile(file)
		if err != nil {
			t.Fatal(err)
		}
		server := config.Clusters[config.Contexts[config.CurrentContext].Cluster].Server
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := waitCode(said); code != 0 {
			t.Errorf("ended with %d: %s", code, said.stderr.String())
		}
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the kubeconfig still exists: %v", err)
		}
		if conn, err := net.Dial("tcp", strings.TrimPrefix(server, "https://")); err == nil {
			conn.Close()
			t.Error("the address still accepts connections")
		}
	})
}
