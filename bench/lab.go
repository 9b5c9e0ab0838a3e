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

// peer describes a kind of proxy.
type peer struct {
	name     string
	client   dialect // dialect of the client
	start    starter
	plain    starter // starter for requests without an upgrade; nil: not supported
	program  string  // name of the Debian package and its program; empty: Go code
	sessions int     // maximum number of idle sessions; 0: no limit
}

// starter starts a process of the lab and returns its address as host:port.
type starter func(context.Context, *lab) (*process, string, error)

// peers are all proxies that can be measured, in the default order of their turns.
var peers = []peer{
	{name: "edge", client: execV5, start: startEdge(modeSPDY, false), plain: startEdge(modeSPDY, false)},
	{name: "translator", client: execV5, start: startRole("translator"), sessions: maxTranslated},
	{name: "relay", client: execV4, start: startRole("relay"), plain: startRole("plainrelay")},
	{name: "nginx", client: execV4, start: startNginx, plain: startNginx, program: "nginx"},
	{name: "haproxy", client: execV4, start: startHAProxy, plain: startHAProxy, program: "haproxy"},
}

// labelBefore is the name of the proxy before in reports.
const labelBefore = "before"

// before is the second binary of edge. It is measured if --before is set.
var before = peer{name: labelBefore, client: execV5, start: startEdge(modeSPDY, true), plain: startEdge(modeSPDY, true)}

// maxTranslated is the maximum number of idle sessions of the API server's translator. A session
// needs about 700 KiB there, so that more sessions would not fit into the memory of small machines.
const maxTranslated = 1000

// idleSessions returns the number of idle sessions for this peer in one turn.
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

func peerNamed(name string) (peer, bool) {
	if name == labelBefore {
		return before, true
	}
	i := slices.IndexFunc(peers, func(p peer) bool { return p.name == name })
	if i < 0 {
		return peer{}, false
	}
	return peers[i], true
}

// lab is the environment of a run: certificates, the issuer and upstream. It owns all processes
// that the run starts; close ends them.
type lab struct {
	dir        string
	pki        *pki
	issuer     *issuer
	token      string
	edge       string            // path of edge's binary; empty: not built yet
	before     string            // path of the binary of --before; empty: not set
	upstream   string            // host:port
	kubeconfig string            // path of the kubeconfig for edge
	server     *process          // the process of upstream
	programs   map[string]string // paths of Debian's programs, by name
	processes  []*process
}

// proxy is a running proxy in front of upstream, with the dialect and the target of its client.
type proxy struct {
	*process
	label  string // name in reports
	client dialect
	target target
}

// open starts a command through the proxy.
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

// close ends all processes of the lab and removes its files.
func (l *lab) close() {
	for _, p := range slices.Backward(l.processes) {
		p.stop()
	}
	if l.issuer != nil {
		l.issuer.close()
	}
	_ = os.RemoveAll(l.dir)
}

// startProxy starts a new process of a peer. The process ends by its stop method, or when the lab
// is closed.
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

// run starts cmd as a process of the lab.
func (l *lab) run(name string, cmd *exec.Cmd) (*process, error) {
	p, err := startProcess(name, cmd)
	if err != nil {
		return nil, err
	}
	l.processes = append(l.processes, p)
	return p, nil
}

// startRole runs this program again as a child with the named role, and waits until the child
// prints its address.
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
		_ = stdout.Close() // the pipe's only writer is now the child, so it ends with the child
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

// configureRole sends the configuration to the child and reads its address. It leaves stdin open,
// because the child exits when stdin ends.
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
