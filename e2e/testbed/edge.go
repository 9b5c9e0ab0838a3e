package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/run"
)

// EdgeOptions configures StartEdge: the cluster and the issuer that edge uses, and edge's other
// arguments.
type EdgeOptions struct {
	Cluster *cluster.Cluster

	// Issuer is the issuer whose users edge accepts. StartEdge configures it with the --oidc-*
	// flags. If Issuer is nil, StartEdge sets no --oidc-* flag, and Args may configure issuers in
	// another way.
	Issuer *issuer.Issuer

	// Upstream is the server that edge uses as its API server, such as a proxy in front of it.
	// StartEdge uses only the fields Server and CA. If Server is empty, edge connects to Cluster
	// directly.
	Upstream cluster.Access

	// Args are appended to the arguments of `edge serve` that StartEdge sets, so they override
	// those.
	Args []string

	// Env contains variables for edge's environment, each as name=value.
	Env []string

	// Files is the limit for edge's open file descriptors (ulimit -n). 0: edge inherits the limit
	// of this process.
	Files int

	// NoWait makes StartEdge return as soon as edge's process runs, without waiting until edge is
	// ready. Tests use it for an edge that cannot become ready.
	NoWait bool
}

// Edge is a running `edge serve`.
type Edge struct {
	URL  string
	Addr string // host:port of the address in the field URL
	CA   []byte // PEM certificates of the authorities that a client of edge must trust

	// Probes is the host:port of edge's port for operators, which serves /ready and /metrics.
	Probes string

	Process *run.Process
}

// UsernamePrefix and GroupsPrefix are the prefixes that edge puts before the names of users and
// groups if it has the flags of IssuerFlags.
const (
	UsernamePrefix = "oidc:"
	GroupsPrefix   = "oidc:"
)

// StartEdge starts edge, which it builds once per run. It returns when edge is ready or, with
// NoWait, as soon as the process runs.
func (tb *Testbed) StartEdge(ctx context.Context, o EdgeOptions) (*Edge, error) {
	program, err := tb.BuildEdge(ctx)
	if err != nil {
		return nil, err
	}
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	probe, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(tb.Dir, fmt.Sprintf("edge-%d", port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	cert, key, err := tb.CA.IssueFiles(dir, "tls", "edge")
	if err != nil {
		return nil, err
	}
	token, err := o.Cluster.EdgeToken(ctx)
	if err != nil {
		return nil, err
	}
	upstream := cluster.Access{Server: o.Cluster.URL, CA: o.Cluster.CA.PEM, Token: token}
	if o.Upstream.Server != "" {
		upstream.Server, upstream.CA = o.Upstream.Server, o.Upstream.CA
	}
	kubeconfig, err := tb.Kubeconfig(upstream)
	if err != nil {
		return nil, err
	}
	e := &Edge{Addr: run.Loopback(port), URL: "https://" + run.Loopback(port), CA: tb.CA.PEM, Probes: run.Loopback(probe)}
	args := []string{program, "serve",
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + cert, "--tls-private-key-file=" + key,
		"--kubeconfig=" + kubeconfig,
		"--readiness-probe-port=" + strconv.Itoa(probe),
		"--log-format=json",
	}
	if o.Issuer != nil {
		args = append(args, IssuerFlags(o.Issuer)...)
	}
	args = append(args, o.Args...)
	if o.Files > 0 {
		args = append([]string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, o.Files)}, args...)
	}
	if e.Process, err = run.Spawn(dir, "edge", args, append([]string{"TMPDIR=" + dir}, o.Env...)...); err != nil {
		return nil, err
	}
	tb.OnClose(func() { e.Process.Stop(5 * time.Second) })
	if o.NoWait {
		return e, nil
	}
	return e, e.WaitReady(ctx)
}

// IssuerFlags returns --oidc-* flags for edge or an API server. With these flags, the server
// accepts the users of issuer i.
func IssuerFlags(i *issuer.Issuer) []string {
	return []string{
		"--oidc-issuer-url=" + i.URL, "--oidc-client-id=" + issuer.ClientID, "--oidc-ca-file=" + i.CAFile,
		"--oidc-username-claim=preferred_username", "--oidc-username-prefix=" + UsernamePrefix,
		"--oidc-groups-claim=groups", "--oidc-groups-prefix=" + GroupsPrefix,
	}
}

// WaitReady waits until edge's readiness probe /ready answers 200.
func (e *Edge) WaitReady(ctx context.Context) error {
	return run.Until(ctx, run.StartupTime, "edge", func(ctx context.Context) error {
		code, said, err := e.Ready(ctx)
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("/ready: %d: %s", code, said)
		}
		return err
	}, e.Process)
}

// Ready sends one request to edge's readiness probe /ready. The body states why edge is not ready.
// If edge is ready, the body may contain a warning for the operator.
func (e *Edge) Ready(ctx context.Context) (code int, body string, err error) {
	return e.Operator(ctx, "/ready", "")
}

// Operator sends a GET to edge's port for operators, which serves the probes and /metrics. accept is
// the header Accept; empty: none.
func (e *Edge) Operator(ctx context.Context, path, accept string) (code int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Probes+path, nil)
	if err != nil {
		return 0, "", err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, string(said), nil
}

// Access returns edge's address and a credential, for a client that connects to edge directly with
// this token.
func (e *Edge) Access(token string) cluster.Access {
	return cluster.Access{Server: e.URL, CA: e.CA, Token: token}
}
