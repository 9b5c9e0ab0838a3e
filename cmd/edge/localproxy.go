package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/authn"
	"edge/bridge"
	"edge/impersonate"
	"edge/serving"
)

const (
	// maxClusters limits the clusters of a kubeconfig that get a local address from edge connect.
	// Each address needs a listener.
	maxClusters = 256
	// maxWays limits the pairs of a cluster and a user that clients have used. Each pair keeps
	// connections.
	maxWays = 256
)

// localProxy is the local side of edge connect. On the loopback it has an address for each cluster
// of the caller's kubeconfig, and a token for each user. For each pair of cluster and user that
// clients use, it has a handler of package bridge, which sends the caller's own credential
// upstream.
type localProxy struct {
	caller      *caller
	log         *slog.Logger
	server      *serving.Server
	listeners   []net.Listener
	clusters    map[string]string            // cluster name for each listener's host:port
	addresses   map[string]string            // URL of the listener for each cluster name
	users       map[[sha256.Size]byte]string // user by hash of the token; hashing makes the lookup time independent of the token
	tokens      map[string]string            // token by user; a client that sends it acts as that user
	certificate *loopbackCertificate
	written     []byte      // the kubeconfig for clients, as written
	lost        atomic.Bool // true: a stream to the server was lost, and no request of a client has arrived since
	ending      sync.Once
	failed      chan error // the first error of a listener

	mu    sync.Mutex
	ways  map[pair]*bridge.Handler // handlers of the pairs that were used
	ended bool
}

func newLocalProxy(c *caller, address string, log *slog.Logger) (*localProxy, error) {
	p := &localProxy{
		caller: c, log: log, failed: make(chan error, 1), ways: map[pair]*bridge.Handler{},
		clusters: map[string]string{}, addresses: map[string]string{}, users: map[[sha256.Size]byte]string{}, tokens: map[string]string{},
	}
	for _, user := range c.users() {
		token := rand.Text()
		p.tokens[user], p.users[sha256.Sum256([]byte(token))] = token, user
	}
	if err := p.listen(address); err != nil {
		return nil, err
	}
	o := newServingOptions()
	p.server = newServer(p, &o, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{p.certificate.serving},
	}, serverLog{log})
	return p, nil
}

// listen opens a listener for each cluster. The current cluster gets the given address, the others
// get free ports of the same IP address.
func (p *localProxy) listen(address string) (err error) {
	defer func() {
		if err != nil {
			p.closeListeners()
		}
	}()
	clusters := p.caller.clusters()
	if len(clusters) > maxClusters {
		p.log.Warn("the kubeconfig has too many clusters, and the command has no contexts for some: to use one of those, pass --context to edge connect",
			"clusters", len(clusters), "most", maxClusters)
		clusters = clusters[:maxClusters]
	}
	for _, cluster := range clusters {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		at := l.Addr().(*net.TCPAddr)
		p.listeners, p.clusters[at.String()], p.addresses[cluster] = append(p.listeners, l), cluster, "https://"+at.String()
		address = net.JoinHostPort(at.IP.String(), "0")
	}
	p.certificate, err = newLoopbackCertificate(p.listeners[0].Addr().(*net.TCPAddr).IP)
	return err
}

func (p *localProxy) closeListeners() {
	for _, l := range p.listeners {
		l.Close()
	}
}

// ServeHTTP passes a request to the handler for its cluster and user.
func (p *localProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	way, err := p.way(r)
	if err != nil {
		bridge.Refuse(w, r, err)
		return
	}
	way.ServeHTTP(w, r)
}

// way checks the token of a request, and returns the handler for the token's user and for the
// cluster at whose address the request arrived. It creates the handler when it is first needed.
func (p *localProxy) way(r *http.Request) (*bridge.Handler, error) {
	token, _, err := authn.Credential(r)
	authn.Strip(r.Header)
	user, known := p.users[sha256.Sum256([]byte(token))]
	if err != nil || !known {
		serving.Of(r).Refused()
		return nil, apierrors.NewUnauthorized("edge connect: unknown token: use the kubeconfig that edge connect wrote, and no other token")
	}
	if authn.StripURL(r.URL, token) {
		return nil, bridge.TokenInURL()
	}
	serving.Of(r).Authenticated()
	p.lost.Store(false) // a new request shows that the command continues after the loss of a stream
	at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	of := pair{p.clusters[at.String()], user}
	p.mu.Lock()
	defer p.mu.Unlock()
	if way := p.ways[of]; way != nil {
		return way, nil
	}
	way, err := p.newWay(of)
	if err != nil {
		return nil, unusable(err)
	}
	p.ways[of] = way
	return way, nil
}

// newWay creates the handler for one pair of a cluster and a user. It neither contacts the server
// nor runs a credential plugin: the first request does.
func (p *localProxy) newWay(of pair) (*bridge.Handler, error) {
	if p.ended {
		return nil, errors.New("the command has ended")
	}
	if len(p.ways) == maxWays {
		return nil, fmt.Errorf("%d pairs of a cluster and a user are in use, which is the limit of edge connect", maxWays)
	}
	upstream, err := p.caller.restConfig(of)
	if err != nil {
		return nil, err
	}
	return bridge.New(bridge.Config{
		Upstream:    upstream,
		Identify:    identifyCaller,
		Review:      mayAnything,
		Streaming:   bridge.StreamingWebSocketFirst,
		OnLost:      func() { p.lost.Store(true) },
		MaxSessions: maxSessions(),
		Log:         p.log,
	})
}

// unusable returns the error that a client receives for a context that cannot be used.
func unusable(why error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadGateway, Reason: metav1.StatusReasonServiceUnavailable,
		Message: "edge connect: " + why.Error(),
	}}
}

// identifyCaller returns the identity of requests that the method way has accepted. edge acts as
// the caller here: the credential that goes upstream is the caller's, and the server decides about
// impersonation.
func identifyCaller(*http.Request) (impersonate.Identity, error) {
	id := impersonate.EdgeItself()
	id.Bearer = true
	return id, nil
}

// mayAnything is the access review of edge connect. It allows everything: the server knows the
// caller and decides.
func mayAnything(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error {
	return nil
}

func (p *localProxy) start() {
	for _, l := range p.listeners {
		go func() {
			err := p.server.Serve(bridge.Listener(l))
			select {
			case p.failed <- err:
			default: // the channel failed already holds an error, and the first error is enough
			}
		}()
	}
}

// goodbyeTime limits how long edge connect drains streams that are still open when the command has
// ended. It is longer than bridge waits for the container runtime to accept the streams of an exec
// that has just begun (5 s): a client of --listen must get its failure Status before edge ends.
const goodbyeTime = 8 * time.Second

// close ends all open streams with a Status, and closes listeners and connections immediately.
func (p *localProxy) close() { p.ending.Do(p.end) }

func (p *localProxy) end() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	p.closeListeners()
	p.mu.Lock()
	p.ended = true
	ways := slices.Collect(maps.Values(p.ways))
	p.mu.Unlock()
	var draining sync.WaitGroup
	for _, way := range ways {
		draining.Go(func() { way.Drain(ctx) })
	}
	draining.Wait()
	p.server.Close()
	for _, way := range ways {
		way.Close()
	}
}

// login runs the credential plugin of the current user, before the command gets the terminal. Any
// answer of the server counts as success.
func (p *localProxy) login(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.addresses[p.caller.current().cluster]+"/version", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.tokens[p.caller.current().user])
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.certificate.pool}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// describe returns a sentence with the address of the current context and the number of other
// contexts.
func (p *localProxy) describe() string {
	c, in := p.caller, p.caller.current()
	if in == (pair{}) {
		return fmt.Sprintf("the kubeconfig has %d contexts, and none is the current one", len(c.config.Contexts))
	}
	said := fmt.Sprintf("context %q%s is served at %s", c.config.CurrentContext, server(c.config.Clusters[in.cluster]), p.addresses[in.cluster])
	if others := len(c.config.Contexts) - 1; others > 0 {
		said += fmt.Sprintf(", and %d more contexts", others)
	}
	return said
}

func server(of *clientcmdapi.Cluster) string {
	if of == nil {
		return ""
	}
	return " (" + of.Server + ")"
}

// changes returns a message about what the command, or another user of the file, has changed in the
// kubeconfig for clients. These changes are lost when connect deletes the file. kubectl config
// writes to the first file of $KUBECONFIG. "" means that nothing was changed.
func (p *localProxy) changes(file string) string {
	was, err := clientcmd.Load(p.written)
	if err != nil {
		return ""
	}
	is, err := clientcmd.LoadFromFile(file)
	if err != nil { // somebody deleted the file, or it is not a kubeconfig any more
		return ""
	}
	if is.CurrentContext != was.CurrentContext {
		return fmt.Sprintf("%q was made the current context of the command's kubeconfig, which is deleted now. "+
			"Your own kubeconfig is unchanged; to change it: kubectl config use-context %[1]s", is.CurrentContext)
	}
	if text, err := clientcmd.Write(*is); err != nil || bytes.Equal(text, p.written) {
		return ""
	}
	return "the command's kubeconfig was changed, and is deleted now. Your own kubeconfig is unchanged"
}

// environment returns the variables that the command gets in addition to the caller's own. Clients
// that use an HTTP proxy must not use it for the loopback. Some clients read NO_PROXY first and
// some no_proxy: if the caller has set only one, the other must have the same hosts.
func (p *localProxy) environment(kubeconfig string) []string {
	env := []string{"KUBECONFIG=" + kubeconfig}
	upper, lower := os.Getenv("NO_PROXY"), os.Getenv("no_proxy")
	for name, hosts := range map[string]string{"NO_PROXY": cmp.Or(upper, lower), "no_proxy": cmp.Or(lower, upper)} {
		if hosts != "" {
			hosts += ","
		}
		env = append(env, name+"="+hosts+"127.0.0.1")
	}
	return env
}
