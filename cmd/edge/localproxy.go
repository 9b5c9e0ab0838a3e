package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/authn"
	"edge/bridge"
	"edge/impersonate"
	"edge/serving"
)

// localProxy is the near end of edge connect: bridge's handler on the loopback,
// with the caller's own credential upstream.
type localProxy struct {
	caller      *caller
	handler     *bridge.Handler
	server      *serving.Server
	listener    net.Listener
	url         string
	token       string // whoever has it may use the listener
	certificate *loopbackCertificate
	lost        atomic.Bool // the last thing that happened was the loss of a stream
	ending      sync.Once
	failed      chan error // why it serves no more
}

func newLocalProxy(c *caller, address string, log *slog.Logger) (*localProxy, error) {
	p := &localProxy{caller: c, token: rand.Text(), failed: make(chan error, 1)}
	var err error
	p.handler, err = bridge.New(bridge.Config{
		Upstream:    c.config,
		Identify:    p.identify,
		Review:      mayAnything,
		Streaming:   bridge.StreamingWebSocketFirst,
		OnLost:      func() { p.lost.Store(true) },
		MaxSessions: maxSessions(),
		Log:         log,
	})
	if err != nil {
		return nil, usageError{err}
	}
	if p.listener, err = net.Listen("tcp", address); err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if p.certificate, err = newLoopbackCertificate(p.listener.Addr().(*net.TCPAddr).IP); err != nil {
		p.listener.Close()
		return nil, err
	}
	o := newServingOptions()
	p.server = newServer(p.handler, &o, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{p.certificate.serving},
	}, serverLog{log})
	p.url = "https://" + p.listener.Addr().String()
	return p, nil
}

// identify lets in who has the token. The credential that goes upstream is the
// caller's, and so is the right to impersonate.
func (p *localProxy) identify(r *http.Request) (impersonate.Identity, error) {
	token, _, err := authn.Credential(r)
	authn.Strip(r.Header)
	if err != nil || subtle.ConstantTimeCompare([]byte(token), []byte(p.token)) != 1 {
		serving.Of(r).Refused()
		return impersonate.Identity{}, apierrors.NewUnauthorized("edge connect: only the kubeconfig that it wrote can be used here, without another token")
	}
	serving.Of(r).Authenticated()
	p.lost.Store(false) // the command goes on
	return impersonate.Self(), nil
}

// mayAnything leaves the decision to the server, which knows the caller.
func mayAnything(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error {
	return nil
}

func (p *localProxy) start() {
	go func() { p.failed <- p.server.Serve(bridge.Listener(p.listener)) }()
}

// goodbyeTime bounds the end of streams that outlive the command.
const goodbyeTime = 2 * time.Second

// close ends streams with a Status, and everything else at once.
func (p *localProxy) close() { p.ending.Do(p.end) }

func (p *localProxy) end() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTime)
	defer cancel()
	p.listener.Close()
	p.handler.Drain(ctx)
	p.server.Close()
	p.handler.Close()
}

// login has the credential plugin run before anything else needs the terminal.
// Any answer will do.
func (p *localProxy) login(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/version", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
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
	text, err := clientcmd.Write(*p.kubeconfig())
	if err != nil {
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
	_, err = f.Write(text)
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

// kubeconfig has the names of the caller's own, so that prompts and scripts that
// show the context show the same.
func (p *localProxy) kubeconfig() *clientcmdapi.Config {
	c := clientcmdapi.NewConfig()
	name := p.caller.context
	c.Clusters[name] = &clientcmdapi.Cluster{Server: p.url, CertificateAuthorityData: p.certificate.authority}
	as := p.caller.as
	c.AuthInfos[name] = &clientcmdapi.AuthInfo{
		Token:       p.token,
		Impersonate: as.UserName, ImpersonateUID: as.UID, ImpersonateGroups: as.Groups, ImpersonateUserExtra: as.Extra,
	}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: p.caller.namespace}
	c.CurrentContext = name
	return c
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
