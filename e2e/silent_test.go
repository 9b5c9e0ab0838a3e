package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"edge/e2e/testbed"
)

// silence is more than twice the idle limit of both load balancers.
const silence = 130 * time.Second

// TestSilentExec runs a command that says nothing for long, with clients that ping and clients that never do.
func TestSilentExec(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than two minutes")
	}
	forEachSite(t, func(t *testing.T, s *site) {
		script := fmt.Sprintf("sleep %d; echo still here; exit 7", int(silence.Seconds()))
		for _, path := range []string{balanced, nginx} {
			for name, run := range map[string]func(context.Context, *trial) testbed.Result{
				"kubectl 1.35": func(ctx context.Context, tr *trial) testbed.Result {
					return s.kubectl(tr.t, path, "1.35", "alice").Run(ctx, "exec", "shell", "--", "sh", "-c", script)
				},
				"python 22.6": func(ctx context.Context, tr *trial) testbed.Result {
					tr.file = s.kubeconfig(tr.t, path, "alice")
					return python(ctx, tr, nil, "sh", "-c", script)
				},
				"client-node 1.4": func(ctx context.Context, tr *trial) testbed.Result {
					tr.file = s.kubeconfig(tr.t, path, "alice")
					return js(ctx, tr, nil, "exec.mjs", testbed.Namespace, "shell", "sh", "-c", script)
				},
				"OkHttp 3.13": func(ctx context.Context, tr *trial) testbed.Result { // gives up on a ping unanswered for 60 s
					tr.file = s.kubeconfig(tr.t, path, "alice")
					return java(ctx, tr, nil, "OkHttpExec", noTerminal, testbed.Namespace, "shell", "sh", "-c", script)
				},
			} {
				t.Run(path+"/"+name, func(t *testing.T) {
					t.Parallel()
					ctx, cancel := context.WithTimeout(t.Context(), silence+patience)
					defer cancel()
					if err := want(run(ctx, &trial{t: t, site: s}), 7, "still here\n"); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
}

// TestSilentPortForward keeps one forwarded connection silent for long.
func TestSilentPortForward(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than two minutes")
	}
	forEachSite(t, func(t *testing.T, s *site) {
		ctx, cancel := context.WithTimeout(t.Context(), silence+patience)
		defer cancel()
		p, err := s.kubectl(t, balanced, "1.35", "alice").PortForward(ctx, "pod/shell", 9000)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(silence + patience))
		for _, word := range []string{"before", "after!"} {
			if word == "after!" {
				time.Sleep(silence)
			}
			if _, err := io.WriteString(conn, word); err != nil {
				t.Fatalf("%s: %v; kubectl said %s", word, err, p.Said())
			}
			echo := make([]byte, len(word))
			if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != word {
				t.Fatalf("%s: %q, %v; kubectl said %s", word, echo, err, p.Said())
			}
		}
	})
}
