package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"
)

const (
	userAgent = "loadtest"
	// readIdle and pingTimeout detect a dead connection that carries watches: after readIdle
	// without data, loadtest sends an HTTP/2 ping. If no answer comes within pingTimeout, loadtest
	// closes the connection.
	readIdle    = 20 * time.Second
	pingTimeout = 15 * time.Second
)

// endpoint is the server under test, with the credential for it. The two round trippers, upgrade
// and plain, share no connection.
type endpoint struct {
	base    *url.URL
	upgrade http.RoundTripper // for exec and port-forward, one connection for each session
	plain   http.RoundTripper // for watches, over HTTP/2
	close   func()
}

// restConfig merges the flags and the kubeconfig into a client-go configuration.
func restConfig(o *options) (*rest.Config, error) {
	config := &rest.Config{}
	if o.kubeconfig != "" || o.context != "" || o.url == "" {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		rules.ExplicitPath = o.kubeconfig
		overrides := &clientcmd.ConfigOverrides{CurrentContext: o.context}
		read, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
		if err != nil {
			if clientcmd.IsEmptyConfig(err) {
				return nil, errors.New("kubeconfig: no configuration found; set --url and a credential, or --kubeconfig")
			}
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
		config = read
	}
	if o.url != "" {
		config.Host = o.url
	}
	if o.tokenFile != "" {
		config.BearerToken, config.BearerTokenFile = "", o.tokenFile
		config.ExecProvider, config.AuthProvider = nil, nil
	}
	if o.clientCertificate != "" {
		config.CertFile, config.CertData = o.clientCertificate, nil
		config.KeyFile, config.KeyData = o.clientKey, nil
	}
	if o.certificateAuthority != "" {
		config.CAFile, config.CAData = o.certificateAuthority, nil
	}
	if o.insecure {
		config.Insecure, config.CAFile, config.CAData = true, "", nil
	}
	config.UserAgent = userAgent
	return config, nil
}

// newEndpoint builds the endpoint for o. It reads the credential now, so that a missing file is
// reported before any connection is opened.
func newEndpoint(o *options) (*endpoint, error) {
	config, err := restConfig(o)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if base.Scheme != "https" || base.User != nil {
		return nil, fmt.Errorf("--url: %s is not of the form https://HOST[:PORT]; loadtest sends credentials over https only, and never in a URL",
			base.Redacted())
	}
	tc, err := config.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName = base.Hostname()
	}
	dialFor := func(protocols ...string) *dialer {
		config := tlsConfig.Clone()
		config.NextProtos = protocols
		return &dialer{address: hostPort(base), config: config}
	}
	shared := dialFor("h2", "http/1.1")
	watches := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, o.openTimeout)
			defer cancel()
			return shared.dial(ctx)
		},
		ForceAttemptHTTP2: true,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: readIdle, PingTimeout: pingTimeout},
	}
	e := &endpoint{base: base, close: watches.CloseIdleConnections}
	if e.upgrade, err = rest.HTTPWrappersForConfig(config, upgrader{dialFor("http/1.1")}); err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	if e.plain, err = rest.HTTPWrappersForConfig(config, watches); err != nil {
		return nil, fmt.Errorf("credential: %w", err)
	}
	return e, nil
}
