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
	"path/filepath"
	"slices"
	"strings"
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
	// maxClusters bounds those of a kubeconfig that have an address. Each is a listener.
	maxClusters = 256
	// maxWays bounds the pairs of a cluster and a user that were used. Each keeps connections.
	maxWays = 256
)

// localProxy is the near end of edge connect: on the loopback an address for each
// cluster of the caller's kubeconfig and a token for each user, and behind each pair of
// them that is used a handler of bridge's, with the caller's own credential upstream.
type localProxy struct {
	caller      *caller
	log         *slog.Logger
	server      *serving.Server
	listeners   []net.Listener
	clusters    map[string]string            // by address, host:port
	addresses   map[string]string            // by cluster, as URL
	users       map[[sha256.Size]byte]string // by token, as whose hash it is found in the same time as any other
	tokens      map[string]string            // by user; whoever has one may use the listeners as that user
	certificate *loopbackCertificate
	written     []byte      // the kubeconfig for clients
	lost        atomic.Bool // the last thing that happened was the loss of a stream
	ending      sync.Once
	failed      chan error // why it serves no more

	mu    sync.Mutex
	ways  map[pair]*bridge.Handler // those that were used
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

// listen gives each cluster an address: the current one that which was asked for, the
// others free ports beside it.
func (p *localProxy) listen(address string) (err error) {
	defer func() {
		if err != nil {
			p.closeListeners()
		}
	}()
	clusters := p.caller.clusters()
	if len(clusters) > maxClusters {
		p.log.Warn("the kubeconfig has many clusters: give --context to edge connect for those that the command's has no context of",
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

// ServeHTTP hands a request to the way that it came for.
func (p *localProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	way, err := p.way(r)
	if err != nil {
		bridge.Refuse(w, r, err)
		return
	}
	way.ServeHTTP(w, r)
}

// way lets in who has a token, and returns what its user gets at the cluster whose address
// the request came to, made when it is first asked for.
func (p *localProxy) way(r *http.Request) (*bridge.Handler, error) {
	token, _, err := authn.Credential(r)
	authn.Strip(r.Header)
	user, known := p.users[sha256.Sum256([]byte(token))]
	if err != nil || !known {
		serving.Of(r).Refused()
		return nil, apierrors.NewUnauthorized("edge connect: only the kubeconfig that it wrote can be used here, without another token")
	}
	if authn.StripURL(r.URL, token) {
		return nil, bridge.TokenInURL()
	}
	serving.Of(r).Authenticated()
	p.lost.Store(false) // the command goes on
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

// newWay does not ask the server anything, and no credential plugin: that is the first
// request's.
func (p *localProxy) newWay(of pair) (*bridge.Handler, error) {
	if p.ended {
		return nil, errors.New("the command has ended")
	}
	if len(p.ways) == maxWays {
		return nil, fmt.Errorf("%d pairs of a cluster and a user are in use, and there can be no more", maxWays)
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

// unusable is what a client reads of a context that cannot be used.
func unusable(why error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadGateway, Reason: metav1.StatusReasonServiceUnavailable,
		Message: "edge connect: " + why.Error(),
	}}
}

// identifyCaller is for requests that way has let in. The credential that goes upstream is the
// caller's, and so is the right to impersonate: edge itself is the caller here.
func identifyCaller(*http.Request) (impersonate.Identity, error) {
	id := impersonate.EdgeItself()
	id.Bearer = true
	return id, nil
}

// mayAnything leaves the decision to the server, which knows the caller.
func mayAnything(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error {
	return nil
}

func (p *localProxy) start() {
	for _, l := range p.listeners {
		go func() {
			err := p.server.Serve(bridge.Listener(l))
			select {
			case p.failed <- err:
			default: // one reason is enough
			}
		}()
	}
}

// goodbyeTime bounds the end of streams that outlive the command.
const goodbyeTime = 2 * time.Second

// close ends streams with a Status, and everything else at once.
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

// login has the current user's credential plugin run before anything else needs the
// terminal. Any answer will do.
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

// kubeconfigMode is that of a file with a token in it.
const kubeconfigMode = 0o600

// writeKubeconfig writes the file for clients and returns its path: file, which
// must not be there yet, or if that is empty one in a new folder that only its
// owner can read. remove takes back what was written.
func (p *localProxy) writeKubeconfig(file string) (path string, remove func(), err error) {
	if p.written, err = clientcmd.Write(*p.caller.clientConfig(p.addresses, p.tokens, p.certificate.authority)); err != nil {
		return "", nil, fmt.Errorf("kubeconfig for clients: %w", err)
	}
	remove = func() { os.Remove(path) }
	if path = file; path == "" {
		dir, err := newRuntimeDir()
		if err != nil {
			return "", nil, fmt.Errorf("kubeconfig for clients: %w", err)
		}
		path, remove = filepath.Join(dir, "kubeconfig"), func() { os.RemoveAll(dir) }
	} else if path, err = filepath.Abs(path); err != nil {
		return "", nil, fmt.Errorf("--write-kubeconfig: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, kubeconfigMode)
	if err != nil {
		return "", nil, fmt.Errorf("--write-kubeconfig: %w", err)
	}
	_, err = f.Write(p.written)
	if err = errors.Join(err, f.Close()); err != nil {
		remove()
		return "", nil, fmt.Errorf("kubeconfig for clients: %w", err)
	}
	return path, remove, nil
}

// newRuntimeDir makes a folder that only its owner can read. The command may
// change its own folder, so a relative path will not do (the XDG specification
// has it ignored), and $KUBECONFIG is a list.
func newRuntimeDir() (string, error) {
	if parent := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(parent) && !strings.ContainsRune(parent, filepath.ListSeparator) {
		if dir, err := os.MkdirTemp(parent, "edge-connect-"); err == nil { // sudo leaves the variable behind, without the folder
			return dir, nil
		}
	}
	dir, err := os.MkdirTemp("", "edge-connect-")
	if err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// describe says where the current context is, and how many are beside it.
func (p *localProxy) describe() string {
	c, in := p.caller, p.caller.current()
	if in == (pair{}) {
		return fmt.Sprintf("there are %d contexts, none is the current one", len(c.config.Contexts))
	}
	said := fmt.Sprintf("context %q%s is at %s", c.config.CurrentContext, server(c.config.Clusters[in.cluster]), p.addresses[in.cluster])
	if others := len(c.config.Contexts) - 1; others > 0 {
		said += fmt.Sprintf(", and %d more beside it", others)
	}
	return said
}

func server(of *clientcmdapi.Cluster) string {
	if of == nil {
		return ""
	}
	return " (" + of.Server + ")"
}

// changes says what the command, or somebody by --write-kubeconfig's file, has changed in the kubeconfig for clients, which is
// about to go: kubectl config writes to the first file of $KUBECONFIG. Empty: nothing.
func (p *localProxy) changes(file string) string {
	was, err := clientcmd.Load(p.written)
	if err != nil {
		return ""
	}
	is, err := clientcmd.LoadFromFile(file)
	if err != nil { // it is gone, or no kubeconfig any more
		return ""
	}
	if is.CurrentContext != was.CurrentContext {
		return fmt.Sprintf("%q was made the current context of the command's own kubeconfig, which is gone now. "+
			"Yours is as it was; to change it: kubectl config use-context %[1]s", is.CurrentContext)
	}
	if text, err := clientcmd.Write(*is); err != nil || bytes.Equal(text, p.written) {
		return ""
	}
	return "the command's own kubeconfig was changed, and is gone now. Yours is as it was"
}

// environment is what the command gets beside the caller's own. Clients that
// heed a proxy must not take it to the loopback. Some read NO_PROXY first and some
// no_proxy: where the caller has only one, the other must not hide it.
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
