package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// startTimeout limits how long a process may take to start until it serves.
const startTimeout = 30 * time.Second

// peer describes one kind of proxy that bench can measure, such as nginx.
type peer struct {
	name     string
	client   dialect // dialect that the client of this proxy uses
	start    starter
	plain    starter // starts the proxy for requests without an upgrade; nil: not supported
	program  string  // name of the Debian package and of its program; empty: the proxy is Go code
	sessions int     // maximum number of idle sessions; 0: no limit
}

// starter starts a process of the lab (the environment of a measurement) and returns the process
// and its address as host:port.
type starter func(context.Context, *lab) (*process, string, error)

// peers are all kinds of proxies that can be measured, in the default order in which they take
// turns.
var peers = []peer{
	{name: "edge", client: execV5, start: startEdge(modeSPDY, false), plain: startEdge(modeSPDY, false)},
	{name: "translator", client: execV5, start: startRole("translator"), sessions: maxTranslated},
	{name: "relay", client: execV4, start: startRole("relay"), plain: startRole("plainrelay")},
	{name: "nginx", client: execV4, start: startNginx, plain: startNginx, program: "nginx"},
	{name: "haproxy", client: execV4, start: startHAProxy, plain: startHAProxy, program: "haproxy"},
}

// labelBefore is the name in reports of the second edge binary, which the flag --before names.
const labelBefore = "before"

// before is the kind of proxy that runs the second edge binary, which the flag --before names. This
// is usually edge before a change; bench then compares edge with it.
var before = peer{name: labelBefore, client: execV5, start: startEdge(modeSPDY, true), plain: startEdge(modeSPDY, true)}

// maxTranslated is the maximum number of idle sessions of the API server's translator. A session
// needs about 700 KiB there, so that more sessions would not fit into the memory of small machines.
const maxTranslated = 1000

// idleSessions returns how many idle sessions bench opens at one time through a proxy of this kind.
func (p peer) idleSessions(s settings) int {
	if p.sessions > 0 {
		return min(p.sessions, s.Sessions)
	}
	return s.Sessions
}

func peerNames() []string {
	var all []string
	for _, p := range peers {
		all = append(all, p.name)
	}
	return all
}

// peerNamed returns the proxy of a name that is known to exist.
func peerNamed(name string) peer {
	if name == labelBefore {
		return before
	}
	i := slices.IndexFunc(peers, func(p peer) bool { return p.name == name })
	if i < 0 {
		return peer{}
	}
	return peers[i]
}

// lab is the environment of a measurement: certificates, the OIDC issuer and the upstream server.
// It owns all processes that bench starts; its method close ends them.
type lab struct {
	dir        string
	pki        *pki
	issuer     *issuer
	token      string
	edge       string            // path of edge's binary; empty: not built yet
	before     string            // path of the second edge binary, from the flag --before; empty: not set
	upstream   string            // address of the upstream server as host:port
	kubeconfig string            // path of the kubeconfig for edge
	server     *process          // the process of the upstream server
	programs   map[string]string // paths of the programs that are Debian packages, by name
	processes  []*process
}

// proxy is a running proxy in front of the upstream server. It includes the dialect that its client
// uses, and its address.
type proxy struct {
	*process
	label  string // the proxy's name in reports
	client dialect
	target target
}

// open starts a command of the workload through the proxy, in a new session.
func (p *proxy) open(ctx context.Context, w work) (*session, error) {
	return p.client.open(ctx, p.target, w)
}

func openLab(ctx context.Context, s settings) (_ *lab, err error) {
	l := &lab{edge: s.Edge, before: s.Before}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, fmt.Errorf("bench: create a folder: %w", err)
	}
	if l.pki, err = newPKI(l.dir); err != nil {
		return nil, err
	}
	if l.issuer, err = startIssuer(l.pki); err != nil {
		return nil, err
	}
	if l.token, err = l.issuer.token(); err != nil {
		return nil, err
	}
	if l.server, l.upstream, err = startRole("upstream")(ctx, l); err != nil {
		return nil, err
	}
	return l, nil
}

// close ends all processes that bench started and removes its temporary files.
func (l *lab) close() {
	for _, p := range slices.Backward(l.processes) {
		p.stop()
	}
	if l.issuer != nil {
		l.issuer.close()
	}
	_ = os.RemoveAll(l.dir)
}

// startProxy starts a new proxy process of kind p. The process ends when its stop method or the
// method close of the lab is called.
func (l *lab) startProxy(ctx context.Context, p peer) (*proxy, error) {
	process, address, err := p.start(ctx, l)
	if err != nil {
		return nil, err
	}
	return &proxy{process: process, label: p.name, client: p.client, target: l.target(address)}, nil
}

func (l *lab) target(address string) target {
	return target{address: address, token: l.token, pool: l.pki.pool}
}

// run starts cmd as a child process, which the lab's method close ends.
func (l *lab) run(name string, cmd *exec.Cmd) (*process, error) {
	p, err := startProcess(name, cmd)
	if err != nil {
		return nil, err
	}
	l.processes = append(l.processes, p)
	return p, nil
}

// startRole returns a function that runs this program again as a child process with the named role
// (for example a proxy), and waits until the child prints its address.
func startRole(name string) starter {
	return func(ctx context.Context, l *lab) (*process, string, error) {
		config := roleConfig{CAFile: l.pki.caFile, CertFile: l.pki.certFile, KeyFile: l.pki.keyFile}
		if l.upstream != "" {
			config.Upstream = "https://" + l.upstream
		}
		self, err := os.Executable()
		if err != nil {
			return nil, "", fmt.Errorf("bench: find this program: %w", err)
		}
		cmd := exec.Command(self, roleCommand, name)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return nil, "", fmt.Errorf("bench: start %s: %w", name, err)
		}
		printed, stdout, err := os.Pipe()
		if err != nil {
			return nil, "", fmt.Errorf("bench: start %s: %w", name, err)
		}
		defer printed.Close()
		cmd.Stdout = stdout
		p, err := l.run(name, cmd)
		_ = stdout.Close() // close bench's copy of the pipe's write end, so that reading ends when the child ends
		if err != nil {
			return nil, "", err
		}
		address, err := configureRole(ctx, config, stdin, printed)
		if err != nil {
			return nil, "", p.failure(fmt.Errorf("bench: start %s: %w", name, err))
		}
		return p, address, nil
	}
}

// configureRole sends the configuration to a child process of bench and reads the child's address.
// It leaves the child's stdin open, because the child exits when stdin ends.
func configureRole(ctx context.Context, c roleConfig, stdin io.Writer, printed *os.File) (string, error) {
	if err := printed.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { _ = printed.SetReadDeadline(time.Now()) })()
	if err := json.NewEncoder(stdin).Encode(c); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(printed, maxTail)).ReadString('\n')
	if err != nil {
		return "", errors.Join(err, ctx.Err())
	}
	return strings.TrimSpace(line), nil
}
