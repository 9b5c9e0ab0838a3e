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

// startTimeout bounds how long a process may take until it serves.
const startTimeout = 30 * time.Second

// peer is a kind of proxy.
type peer struct {
	name     string
	client   dialect // what the client speaks to it
	start    starter
	plain    starter // of its plain path; nil where it has none
	program  string  // of Debian, by the same name as its package; empty for what is built from Go
	sessions int     // most idle sessions that it is asked to hold; 0 is no bound of its own
}

// starter starts a process of the lab and says where it listens, as host:port.
type starter func(context.Context, *lab) (*process, string, error)

// peers are all that can be measured, in the order in which they take turns by default.
var peers = []peer{
	{name: "edge", client: execV5, start: startEdge(modeSPDY, false), plain: startEdge(modeSPDY, false)},
	{name: "translator", client: execV5, start: startRole("translator"), sessions: maxTranslated},
	{name: "relay", client: execV4, start: startRole("relay"), plain: startRole("plainrelay")},
	{name: "nginx", client: execV4, start: startNginx, plain: startNginx, program: "nginx"},
	{name: "haproxy", client: execV4, start: startHAProxy, plain: startHAProxy, program: "haproxy"},
}

// labelBefore is what its figures are reported under.
const labelBefore = "before"

// before is edge's other binary. It is measured where --before names one.
var before = peer{name: labelBefore, client: execV5, start: startEdge(modeSPDY, true), plain: startEdge(modeSPDY, true)}

// maxTranslated keeps the API server's translator, at some 700 KiB a session, within the memory of small machines.
const maxTranslated = 1000

// idleSessions is how many idle sessions of one turn are asked of the peer.
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

// lab is what all measures share: certificates, the issuer and upstream. It owns every process of the
// run, so that close ends them all.
type lab struct {
	dir        string
	pki        *pki
	issuer     *issuer
	token      string
	edge       string            // path of edge's binary, once it is known
	before     string            // path of the other one; empty: there is none
	upstream   string            // host:port
	kubeconfig string            // names upstream, for edge
	server     *process          // upstream's
	programs   map[string]string // paths of Debian's programs, by name
	processes  []*process
}

// proxy is a running process in front of upstream, and how the client speaks to it.
type proxy struct {
	*process
	label  string // what figures are reported under
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
		return nil, fmt.Errorf("bench: make a folder: %w", err)
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

// close ends all that the lab has started and removes its files.
func (l *lab) close() {
	for _, p := range slices.Backward(l.processes) {
		p.stop()
	}
	if l.issuer != nil {
		l.issuer.close()
	}
	_ = os.RemoveAll(l.dir)
}

// startProxy starts a fresh process of a peer. It ends with its stop, and with the lab at the latest.
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

// startRole starts this program again as the named role and waits for the address that it prints.
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
		_ = stdout.Close() // the child's copy is left, so that its end is this pipe's end
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

// configureRole leaves stdin open: its end is the role's end.
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
