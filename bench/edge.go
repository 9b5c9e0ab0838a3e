package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// edgePackage is the package that bench builds if --edge is not set.
const edgePackage = "edge/cmd/edge"

// readyPoll is the interval at which bench polls a readiness probe.
const readyPoll = 50 * time.Millisecond

// findEdge builds edge's binary once, unless the flag --edge names a binary.
func (l *lab) findEdge(ctx context.Context) error {
	if l.edge != "" {
		return nil
	}
	binary := filepath.Join(l.dir, "edge")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, edgePackage)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: build edge: %w\n%s", err, out)
	}
	l.edge = binary
	return nil
}

// startEdge returns a function that runs edge serve as in production: edge verifies the client's
// token and impersonates the user upstream. mode is the value for edge's flag --upstream-streaming.
// If the parameter other is true, the returned function runs the second edge binary, which the flag
// --before names (usually edge before a change).
func startEdge(mode string, other bool) starter {
	return func(ctx context.Context, l *lab) (*process, string, error) {
		if err := l.findEdge(ctx); err != nil {
			return nil, "", err
		}
		name, binary := "edge", l.edge
		if other {
			name, binary = labelBefore, l.before
		}
		if err := l.writeKubeconfig(); err != nil {
			return nil, "", err
		}
		ports, err := freePorts(2)
		if err != nil {
			return nil, "", err
		}
		streaming, err := streamingFlag(ctx, binary, mode)
		if err != nil {
			return nil, "", err
		}
		p, err := l.run(name, exec.Command(binary, append([]string{"serve",
			"--kubeconfig", l.kubeconfig,
			"--oidc-issuer-url", l.issuer.url,
			"--oidc-client-id", clientID,
			"--oidc-ca-file", l.pki.caFile,
			"--bind-address", "127.0.0.1",
			"--secure-port", strconv.Itoa(ports[0]),
			"--readiness-probe-port", strconv.Itoa(ports[1]),
			"--tls-cert-file", l.pki.certFile,
			"--tls-private-key-file", l.pki.keyFile,
		}, streaming...)...))
		if err != nil {
			return nil, "", err
		}
		if err := l.awaitReady(ctx, p, fmt.Sprintf("http://127.0.0.1:%d/ready", ports[1])); err != nil {
			return nil, "", p.failure(fmt.Errorf("bench: %s is not ready: %w", name, err))
		}
		return p, net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), nil
	}
}

// flagStreaming is edge's flag that sets the upstream protocol of streams.
const flagStreaming = "--upstream-streaming"

// streamingFlag returns the arguments that make the edge binary use the upstream protocol mode, a
// value of edge's flag --upstream-streaming. A binary of bench's flags --edge or --before can be
// too old to have --upstream-streaming; such a binary always uses SPDY.
func streamingFlag(ctx context.Context, binary, mode string) ([]string, error) {
	help, err := exec.CommandContext(ctx, binary, "serve", "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("bench: get the flags of %s: %w %s", binary, err, bytes.TrimSpace(help))
	}
	switch {
	case bytes.Contains(help, []byte(flagStreaming)):
		return []string{flagStreaming, mode}, nil
	case mode == modeSPDY:
		return nil, nil
	}
	return nil, fmt.Errorf("bench: this edge binary has no flag %s, so it cannot use %s upstream", flagStreaming, mode)
}

// awaitReady sends GET requests to the URL in the parameter probe until the response is 200, the
// process exits or startTimeout has passed.
func (l *lab) awaitReady(ctx context.Context, p *process, probe string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: l.pki.pool}}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, probe, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return errExited
		case <-time.After(readyPoll):
		}
	}
}

// writeKubeconfig writes a kubeconfig for edge, with bench's upstream server as the cluster. It
// writes JSON, which is valid YAML. Upstream ignores the credential.
func (l *lab) writeKubeconfig() error {
	l.kubeconfig = filepath.Join(l.dir, "kubeconfig")
	type object = map[string]any
	text, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "bench",
		"clusters": []object{{"name": "bench", "cluster": object{
			"server": "https://" + l.upstream, "certificate-authority": l.pki.caFile}}},
		"users":    []object{{"name": "bench", "user": object{"token": "bench"}}},
		"contexts": []object{{"name": "bench", "context": object{"cluster": "bench", "user": "bench"}}},
	})
	if err != nil {
		return fmt.Errorf("bench: encode a kubeconfig: %w", err)
	}
	if err := os.WriteFile(l.kubeconfig, text, 0o600); err != nil {
		return fmt.Errorf("bench: write a kubeconfig: %w", err)
	}
	return nil
}

// freePorts returns n different loopback ports that are not in use. They are below the kernel's
// range of ephemeral ports, so that no outgoing connection takes one of them. If a server takes a
// port before edge listens on it, edge fails and bench ends.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var l net.Listener
		err := errors.New("no port tried")
		for range 1000 {
			ports[i] = 10000 + rand.IntN(20000)
			if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports[i])); err == nil {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("bench: find a free port: %w", err)
		}
		defer l.Close()
	}
	return ports, nil
}
