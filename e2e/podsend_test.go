package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// TestPodEnds checks what clients see if a pod of edge ends while streams run: it is deleted, evicted,
// or killed because it has used up its memory. kubectl must end with an error, and never as if the
// command had succeeded. If the pod is deleted or evicted, no plain request may fail, because the
// load balancer takes the pod out before edge stops.
func TestPodEnds(t *testing.T) {
	t.Parallel()
	c := sites[cluster.New].cluster
	memory := resource.MustParse("36Mi") // enough for some sessions
	for _, row := range []struct {
		name   string
		memory *resource.Quantity
		end    func(*podsOfEdge, context.Context, string) error // ends one pod of edge
		polite bool                                             // no plain request may fail
	}{
		{name: "deleted", end: (*podsOfEdge).remove, polite: true},
		{name: "evicted", end: (*podsOfEdge).evict, polite: true},
		{name: "out-of-memory", memory: &memory, end: (*podsOfEdge).starve},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := startPodsOfEdge(t, c, "edge-"+row.name, row.memory)
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			var running []*ticking
			for range ticks {
				running = append(running, p.tick(ctx, t))
			}
			asking := p.ask(ctx)
			pods, err := p.list(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := row.end(p, ctx, pods[0].Name); err != nil {
				t.Fatal(err)
			}
			p.firstEnd(ctx, t, running)
			if row.polite {
				p.gone(ctx, t, pods[0].Name)
			}
			asking.stop()
			for _, r := range running {
				select {
				case <-r.done:
				default: // it runs on the other pod
					continue
				}
				if r.result.Code == 0 || len(r.result.Stderr) == 0 {
					t.Errorf("kubectl exec ended with code %d, error output %q", r.result.Code, r.result.Stderr)
				}
				t.Logf("kubectl exec: code %d, %s", r.result.Code, strings.TrimSpace(string(r.result.Stderr)))
			}
			t.Logf("plain requests: %d answered, %d failed: %v", asking.answered.Load(), asking.failed.Load(), asking.first())
			if asking.answered.Load() == 0 || row.polite && asking.failed.Load() > 0 {
				t.Errorf("%d plain requests answered, %d failed", asking.answered.Load(), asking.failed.Load())
			}
			cancel()
			for _, r := range running {
				<-r.done
			}
		})
	}
}

// ticks is the number of sessions that run in TestPodEnds. The load balancer sends each request to
// the pod with the fewest, so each of the two pods has at least one session.
const ticks = 4

// podsOfEdge is an edge in two pods, with a load balancer in front of it.
type podsOfEdge struct {
	t         *testing.T
	cluster   *cluster.Cluster
	namespace string
	balancer  *network.TargetGroup
	kubectl   *clients.Kubectl
}

func startPodsOfEdge(t *testing.T, c *cluster.Cluster, namespace string, memory *resource.Quantity) *podsOfEdge {
	ctx := t.Context()
	t.Cleanup(func() {
		if err := bed.StopEdgePods(context.Background(), c, namespace); err != nil {
			t.Error(err)
		}
	})
	err := bed.StartEdgePods(ctx, testbed.EdgePodsOptions{
		Cluster: c, Issuer: idp, Replicas: 2, Namespace: namespace, Memory: memory, Args: edgeArgs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &podsOfEdge{t: t, cluster: c, namespace: namespace}
	if p.balancer, err = bed.StartTargetGroup(ctx, c, namespace, testbed.EdgeService, testbed.EdgePort, deregistrationDelay); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.balancer.Err(); err != nil {
			t.Error(err)
		}
		p.balancer.Close()
	})
	file, err := bed.Kubeconfig(p.balancer.Access(tokens["alice"]))
	if err != nil {
		t.Fatal(err)
	}
	p.kubectl = bed.Kubectl(peopleVersion, file)
	return p
}

func (p *podsOfEdge) list(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := p.cluster.Client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
	if err == nil && len(pods.Items) == 0 {
		err = errors.New("edge has no pods")
	}
	return pods.Items, err
}

func (p *podsOfEdge) remove(ctx context.Context, pod string) error {
	return p.cluster.Client.CoreV1().Pods(p.namespace).Delete(ctx, pod, metav1.DeleteOptions{})
}

func (p *podsOfEdge) evict(ctx context.Context, pod string) error {
	return p.cluster.Client.CoreV1().Pods(p.namespace).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: p.namespace}})
}

// gone waits until a pod does not exist any more.
func (p *podsOfEdge) gone(ctx context.Context, t *testing.T, pod string) {
	t.Helper()
	eventually(ctx, t, patience, "the end of pod "+pod, func(ctx context.Context) error {
		_, err := p.cluster.Client.CoreV1().Pods(p.namespace).Get(ctx, pod, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil:
			err = errors.New("it still exists")
		}
		return err
	})
}

// Headers that do not end. They take 50 MiB of a pod's memory: more than it has in TestPodEnds.
const (
	unfinished      = 80   // connections with such a header
	unfinishedLines = 4000 // lines of each, below the limit of 1 MiB
)

// starve sends headers that do not end to a pod until the kernel has killed edge because of its
// memory. It does not use the load balancer, which keeps such headers to itself.
func (p *podsOfEdge) starve(ctx context.Context, pod string) error {
	at, err := p.cluster.Client.CoreV1().Pods(p.namespace).Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return err
	}
	restarts := restartsOf(at)
	var head strings.Builder
	head.WriteString("GET /version HTTP/1.1\r\nHost: edge\r\n")
	for i := range unfinishedLines {
		fmt.Fprintf(&head, "X-%d: y\r\n", i)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots(p.balancer.Access("")), ServerName: "localhost"}}
	for range unfinished {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(at.Status.PodIP, strconv.Itoa(testbed.EdgePort)))
		if err != nil {
			break // the kernel has killed it already
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		// An error is fine here: edge closes connections when their headers together are too much.
		io.WriteString(conn, head.String())
	}
	for pause(ctx, time.Second) {
		if at, err = p.cluster.Client.CoreV1().Pods(p.namespace).Get(ctx, pod, metav1.GetOptions{}); err != nil {
			return err
		}
		for _, container := range at.Status.ContainerStatuses {
			if last := container.LastTerminationState.Terminated; restartsOf(at) > restarts && last != nil && last.Reason == "OOMKilled" {
				return nil
			}
		}
	}
	return fmt.Errorf("%d headers did not use up the memory of a pod: %w; its state: %+v", unfinished, ctx.Err(), at.Status.ContainerStatuses)
}

// restartsOf returns how often the containers of a pod were started again.
func restartsOf(pod *corev1.Pod) (n int32) {
	for _, container := range pod.Status.ContainerStatuses {
		n += container.RestartCount
	}
	return n
}

// ticking is a kubectl exec that writes a line each second.
type ticking struct {
	done   chan struct{} // closed when kubectl has ended; then result is valid
	result clients.Result
}

// tick starts a kubectl exec and returns when its first output has arrived.
func (p *podsOfEdge) tick(ctx context.Context, t *testing.T) *ticking {
	t.Helper()
	r := &ticking{done: make(chan struct{})}
	began := &firstWrite{began: make(chan struct{})}
	cmd := p.kubectl.Command(ctx, "exec", "shell", "--", "sh", "-c", "while echo tick; do sleep 1; done")
	go func() {
		defer close(r.done)
		r.result = clients.RunCommandTo(ctx, cmd, began)
	}()
	select {
	case <-began.began:
	case <-r.done:
		t.Fatalf("kubectl exec: %d %s", r.result.Code, r.result.Stderr)
	}
	return r
}

// firstWrite closes a channel at the first write.
type firstWrite struct {
	once  sync.Once
	began chan struct{}
}

func (w *firstWrite) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.began) })
	return len(b), nil
}

// firstEnd waits until one of the sessions has ended.
func (p *podsOfEdge) firstEnd(ctx context.Context, t *testing.T, running []*ticking) {
	t.Helper()
	first := make(chan struct{}, len(running))
	for _, r := range running {
		go func() {
			<-r.done
			first <- struct{}{}
		}()
	}
	select {
	case <-first:
		if ctx.Err() == nil {
			return
		}
	case <-ctx.Done():
	}
	t.Fatal("no session has ended, although a pod of edge has")
}

// asking sends plain requests, one after the other, until stop is called.
type asking struct {
	answered, failed atomic.Int64
	cancel           context.CancelFunc
	ended            chan struct{}
	failure          error // the first one; valid when ended is closed
}

func (p *podsOfEdge) ask(ctx context.Context) *asking {
	ctx, cancel := context.WithCancel(ctx)
	a := &asking{cancel: cancel, ended: make(chan struct{})}
	c := newCaller(p.t, p.balancer.Access(""))
	go func() {
		defer close(a.ended)
		for pause(ctx, 20*time.Millisecond) {
			code, body, err := c.get(ctx, podsURI+"?limit=1", tokens["alice"])
			if err == nil && code != http.StatusOK {
				err = fmt.Errorf("%d: %.300s", code, body)
			}
			switch {
			case ctx.Err() != nil:
			case err == nil:
				a.answered.Add(1)
			default:
				a.failed.Add(1)
				if a.failure == nil {
					a.failure = err
				}
			}
		}
	}()
	return a
}

func (a *asking) stop() {
	a.cancel()
	<-a.ended
}

func (a *asking) first() error { return a.failure }
