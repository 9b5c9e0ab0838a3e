package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/rawclient"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// silence is how long the tests send no traffic: more than twice the idle timeout of both load
// balancers.
const silence = 130 * time.Second

// TestSilentExec checks an exec through the load balancers whose command prints nothing for more
// than their idle timeout. Some of the clients send pings, others never do.
func TestSilentExec(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than two minutes")
	}
	t.Parallel()
	all := together{t: t}
	defer all.Wait()
	for kind, s := range sites {
		script := fmt.Sprintf("sleep %d; echo still here; exit 7", int(silence.Seconds()))
		for _, path := range []string{balanced, nginx} {
			for name, run := range map[string]func(context.Context, *trial) clients.Result{
				"kubectl 1.35": func(ctx context.Context, tr *trial) clients.Result {
					return s.kubectl(tr.t, path, "1.35", "alice").Run(ctx, "exec", "shell", "--", "sh", "-c", script)
				},
				"python 22.6": func(ctx context.Context, tr *trial) clients.Result {
					tr.file = s.kubeconfig(tr.t, path, "alice")
					return python(ctx, tr, nil, "sh", "-c", script)
				},
				"client-node 1.4": func(ctx context.Context, tr *trial) clients.Result {
					tr.node = bed.ClientNode("1.4", s.kubeconfig(tr.t, path, "alice"))
					return js(ctx, tr, nil, "exec.mjs", cluster.Namespace, "shell", "sh", "-c", script)
				},
				// OkHttp closes the session if a ping is not answered within 60 s
				"OkHttp 3.13": func(ctx context.Context, tr *trial) clients.Result {
					tr.file = s.kubeconfig(tr.t, path, "alice")
					return java(ctx, tr, nil, "OkHttpExec", noTerminal, cluster.Namespace, "shell", "sh", "-c", script)
				},
			} {
				all.run(string(kind)+"/"+path+"/"+name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), silence+patience)
					defer cancel()
					if err := want(run(ctx, &trial{t: t, site: s}), 7, "still here\n"); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// TestSilentPortForward checks a forwarded connection through the load balancers that has no
// traffic for more than their idle timeout.
func TestSilentPortForward(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than two minutes")
	}
	t.Parallel()
	all := together{t: t}
	defer all.Wait()
	for kind, s := range sites {
		all.run(string(kind), func(t *testing.T) { silentPortForward(t, s) })
	}
}

func silentPortForward(t *testing.T, s *site) {
	t.Helper()
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
			t.Fatalf("%s: %v; kubectl's output: %s", word, err, p.Said())
		}
		echo := make([]byte, len(word))
		if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != word {
			t.Fatalf("%s: %q, %v; kubectl's output: %s", word, echo, err, p.Said())
		}
	}
}

// TestSilentWebSocket checks WebSockets that edge forwards without interpreting them, such as a
// console in a pod and a watch. They have no traffic for more than the load balancers' idle
// timeout, and their clients never send pings.
func TestSilentWebSocket(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than two minutes")
	}
	t.Parallel()
	all := together{t: t}
	defer all.Wait()
	for kind, s := range sites {
		for _, path := range []string{balanced, nginx} {
			all.run(string(kind)+"/"+path, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), silence+patience)
				defer cancel()
				name := slug("silent " + path)
				to := s.access(path, tokens["alice"])
				console, said := listen(ctx, t, to, podsURI+"/http:shell:8081/proxy/console")
				_, events := listen(ctx, t, to, "/api/v1/namespaces/"+cluster.Namespace+"/configmaps?watch=true&fieldSelector=metadata.name%3D"+name)
				select {
				case text := <-said:
					t.Fatalf("the console sent %q", text)
				case text := <-events:
					t.Fatalf("the watch sent %q", text)
				case <-time.After(silence):
				}
				if err := console.WriteMessage(websocket.TextMessage, []byte("still here")); err != nil {
					t.Fatal(err)
				}
				created := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
				if _, err := s.cluster.Client.CoreV1().ConfigMaps(cluster.Namespace).Create(ctx, created, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				if text := <-said; text != "still here" {
					t.Errorf("the console sent %q", text)
				}
				if text := <-events; !strings.Contains(text, "ADDED") {
					t.Errorf("the watch sent %q", text)
				}
			})
		}
	}
}

// listen opens a WebSocket and reads it in the background. The channel receives each message and,
// last, the error that ended the WebSocket.
func listen(ctx context.Context, t *testing.T, to cluster.Access, uri string) (*websocket.Conn, <-chan string) {
	t.Helper()
	c, _, err := rawclient.DialWebSocket(ctx, to, uri)
	if err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(silence + patience))
	said := make(chan string, 16)
	go func() {
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				said <- err.Error()
				return
			}
			said <- string(b)
		}
	}()
	return c, said
}
