package clients

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"edge/e2e/testbed/run"
)

// Kubectl is one version of kubectl with a kubeconfig: for one user and one server.
type Kubectl struct {
	// variables for kubectl's environment, such as KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true
	Env []string

	clients    *Clients
	program    string
	kubeconfig string
	// path of the edge program if `edge connect` runs kubectl; empty: kubectl runs directly
	connect string
}

// Kubectl returns a kubectl of a version in binaries.KubectlVersions, with a kubeconfig from the
// method Kubeconfig. env is added to its environment.
func (c *Clients) Kubectl(version, kubeconfig string, env ...string) *Kubectl {
	return &Kubectl{Env: env, clients: c, program: c.Bin.Kubectl[version], kubeconfig: kubeconfig}
}

// ThroughConnect returns a copy of k whose kubectl is started by `edge connect`. edge connect gives
// kubectl a kubeconfig in which the server's address is that of edge connect.
func (k *Kubectl) ThroughConnect(ctx context.Context) (*Kubectl, error) {
	edge, err := k.clients.BuildEdge(ctx)
	through := *k
	through.connect = edge
	return &through, err
}

// Command returns a command that runs kubectl with args. The caller must start it with run.Start,
// because otherwise the kernel would kill kubectl when the thread that started it ends.
func (k *Kubectl) Command(ctx context.Context, args ...string) *exec.Cmd {
	if k.connect != "" {
		argv := append([]string{k.connect, "connect", "--kubeconfig=" + k.kubeconfig, "--", k.program}, args...)
		return k.clients.command(ctx, k.clients.connectEnv(k.Env), argv...)
	}
	return k.clients.command(ctx, k.Env, append([]string{k.program, "--kubeconfig=" + k.kubeconfig}, args...)...)
}

// Run runs kubectl with empty stdin until it ends.
func (k *Kubectl) Run(ctx context.Context, args ...string) Result {
	return k.RunInput(ctx, nil, args...)
}

// RunInput runs kubectl with this stdin until it ends.
func (k *Kubectl) RunInput(ctx context.Context, stdin io.Reader, args ...string) Result {
	return RunCommand(ctx, k.Command(ctx, args...), stdin)
}

// PortForward is a running `kubectl port-forward`.
type PortForward struct {
	Addr string // local host:port on which kubectl listens

	cancel context.CancelFunc
	cmd    *exec.Cmd
	ended  chan struct{}
	mu     sync.Mutex
	said   strings.Builder
	err    error
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) `)

// PortForward runs `kubectl port-forward` from a free local port to this port of target. It returns
// when kubectl listens on the local port. args are appended to kubectl's arguments.
func (k *Kubectl) PortForward(ctx context.Context, target string, port int, args ...string) (*PortForward, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &PortForward{cancel: cancel, ended: make(chan struct{})}
	args = append([]string{"port-forward", "--address=127.0.0.1", target, fmt.Sprintf(":%d", port)}, args...)
	p.cmd = k.Command(ctx, args...)
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := run.Start(p.cmd); err != nil {
		cancel()
		return nil, err
	}
	ready := make(chan string, 1)
	go p.read(r, ready)
	go func() {
		err := p.cmd.Wait()
		w.Close()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.ended)
	}()
	select {
	case p.Addr = <-ready:
		return p, nil
	case <-p.ended:
		cancel()
		return nil, fmt.Errorf("kubectl port-forward ended: %v: %s", p.err, p.Said())
	case <-time.After(time.Minute):
		p.Stop()
		return nil, errors.New("kubectl port-forward does not listen after one minute, its output: " + p.Said())
	}
}

func (p *PortForward) read(r io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.mu.Lock()
		p.said.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		if m := forwarding.FindStringSubmatch(lines.Text()); m != nil {
			select {
			case ready <- m[1]:
			default:
			}
		}
	}
}

// Said returns what kubectl has printed on stdout and stderr so far.
func (p *PortForward) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// Ended returns a channel that is closed when kubectl has ended, by itself or because of Stop.
func (p *PortForward) Ended() <-chan struct{} { return p.ended }

// Code returns kubectl's exit code; -1: a signal ended kubectl. Call it only after kubectl has
// ended.
func (p *PortForward) Code() int { return p.cmd.ProcessState.ExitCode() }

// Stop kills kubectl and waits until it has ended.
func (p *PortForward) Stop() {
	p.cancel()
	<-p.ended
}
