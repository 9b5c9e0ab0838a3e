package network

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

//go:embed targetgroup.cfg
var targetGroupConfig string

const (
	// maxTargets limits the pods that a TargetGroup has at a time, those that drain included.
	maxTargets = 16
	// followInterval is how often a TargetGroup reads the Service's endpoints.
	followInterval = 250 * time.Millisecond
)

// TargetGroup is a load balancer in front of the pods of a Service. It follows the Service's
// EndpointSlices like the target group of an AWS load balancer: it registers a pod that is ready,
// and deregisters one that is not or that terminates. A deregistered pod gets no more requests, but
// keeps its connections for the deregistration delay.
type TargetGroup struct {
	LoadBalancer

	socket  string // path of HAProxy's socket for commands
	delay   time.Duration
	process *run.Process       // HAProxy
	stop    context.CancelFunc // ends the goroutine of follow

	mu      sync.Mutex
	targets [maxTargets]target
	err     error // the last error of a command or of the API server
}

// target is one server of HAProxy's backend.
type target struct {
	ip       string // empty: the server is free
	draining bool
}

// StartTargetGroup starts a load balancer in front of the pods of a Service, which serve TLS with a
// certificate of the testbed's CA on this port, and /ready on port 8080. It returns when a pod is
// registered and healthy. delay is the deregistration delay, 300 s at AWS unless it is configured.
func (n *Network) StartTargetGroup(ctx context.Context, c *cluster.Cluster, namespace, service string, port int, delay time.Duration) (*TargetGroup, error) {
	listen, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(n.Dir, fmt.Sprintf("targets-%d", listen))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	pair, err := n.CA.Issue("load balancer")
	if err != nil {
		return nil, err
	}
	g := &TargetGroup{
		LoadBalancer: LoadBalancer{URL: "https://" + run.Loopback(listen), Away: "https://" + n.Reachable(listen), CA: n.CA.PEM},
		socket:       filepath.Join(dir, "admin.sock"), delay: delay,
	}
	cert, ca, config := filepath.Join(dir, "tls.pem"), filepath.Join(dir, "ca.crt"), filepath.Join(dir, "haproxy.conf")
	err = errors.Join(
		os.WriteFile(cert, append(pair.Cert, pair.Key...), 0o600),
		os.WriteFile(ca, n.CA.PEM, 0o644),
		run.Render(config, targetGroupConfig, map[string]any{
			"Port": listen, "Address": n.Address, "Cert": cert, "BackendCA": ca, "Socket": g.socket, "Targets": maxTargets,
			"Placeholder": fmt.Sprintf("127.0.0.1:%d", port), // replaced when a pod is registered
		}),
	)
	if err != nil {
		return nil, err
	}
	if g.process, err = run.Spawn(dir, "targets", []string{n.Bin.HAProxy, "-db", "-f", config}); err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(context.Background())
	g.stop = stop
	n.OnClose(g.Close)
	go g.follow(following, c, namespace, service, port)
	return g, run.Until(ctx, run.StartupTime, "a healthy pod of Service "+service, func(ctx context.Context) error {
		return errors.Join(g.probe(ctx, n), g.Err())
	}, g.process)
}

// Close stops the load balancer. A second call does nothing.
func (g *TargetGroup) Close() {
	g.stop()
	g.process.Kill()
}

// probe returns nil if the load balancer has a pod that answers.
func (g *TargetGroup) probe(ctx context.Context, n *Network) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+"/version", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: n.CA.Pool()}, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("the load balancer answers %s", resp.Status)
	}
	return nil
}

// Err returns the last error of a command to HAProxy or of the API server; nil: there is none since
// the last time that both succeeded.
func (g *TargetGroup) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// follow registers and deregisters pods until ctx ends.
func (g *TargetGroup) follow(ctx context.Context, c *cluster.Cluster, namespace, service string, port int) {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		ready, err := readyPods(ctx, c, namespace, service)
		g.mu.Lock()
		if err == nil {
			err = g.update(ready, port)
		}
		g.err = err
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// readyPods returns the addresses of the Service's pods that are ready and do not terminate.
func readyPods(ctx context.Context, c *cluster.Cluster, namespace, service string) (map[string]bool, error) {
	slices, err := c.Client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service,
	})
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if is := endpoint.Conditions.Ready; is == nil || *is {
				for _, ip := range endpoint.Addresses {
					ready[ip] = true
				}
			}
		}
	}
	return ready, nil
}

// update registers the pods in ready that are not registered, and deregisters the others. The caller
// holds g.mu.
func (g *TargetGroup) update(ready map[string]bool, port int) error {
	var errs []error
	known := map[string]bool{}
	for i := range g.targets {
		t := &g.targets[i]
		switch {
		case t.ip == "":
		case t.draining: // an address that comes back is a new target
		case ready[t.ip]:
			known[t.ip] = true
		default:
			if err := g.command("set server edge/pod%d state drain", i+1); err != nil {
				errs = append(errs, err) // the next update tries again
				continue
			}
			t.draining = true
			time.AfterFunc(g.delay, func() { g.release(i) })
		}
	}
	for ip := range ready {
		if known[ip] {
			continue
		}
		i := g.free()
		if i < 0 {
			errs = append(errs, fmt.Errorf("testbed: more than %d targets", maxTargets))
			break
		}
		err := g.command("set server edge/pod%d addr %s port %d", i+1, ip, port)
		if err == nil {
			err = g.command("set server edge/pod%d state ready", i+1)
		}
		if err == nil { // else the next update tries again
			g.targets[i] = target{ip: ip}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// free returns the index of a free target; -1: there is none.
func (g *TargetGroup) free() int {
	for i, t := range g.targets {
		if t.ip == "" {
			return i
		}
	}
	return -1
}

// release ends a target's connections after the deregistration delay.
func (g *TargetGroup) release(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = errors.Join(g.command("set server edge/pod%d state maint", i+1), g.command("shutdown sessions server edge/pod%d", i+1))
	g.targets[i] = target{}
}

// command sends a command to HAProxy's socket. HAProxy answers with an empty line, or with a text
// that says what changed or what is wrong.
func (g *TargetGroup) command(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	conn, err := net.DialTimeout("unix", g.socket, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return err
	}
	said, err := io.ReadAll(io.LimitReader(conn, 1<<16))
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(said)); text != "" && !strings.Contains(text, "changed from") && !strings.Contains(text, "no need to change") {
		return fmt.Errorf("testbed: HAProxy answers %q: %s", line, text)
	}
	return nil
}
