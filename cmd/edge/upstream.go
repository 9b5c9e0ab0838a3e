package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"edge/bridge"
	"edge/internal/tracing"
)

const (
	defaultBurst         = 100
	defaultTokenLifetime = time.Hour
)

// clientOptions configure how edge connects to the API server.
type clientOptions struct {
	kubeconfig         string
	disableCompression bool
	streaming          string
	qps                float32
	burst              int
	tokens             tokenRequest
	overrides          clientcmd.ConfigOverrides
}

func newClientOptions() clientOptions {
	return clientOptions{streaming: string(bridge.StreamingAuto), burst: defaultBurst, tokens: tokenRequest{lifetime: defaultTokenLifetime}}
}

func (c *clientOptions) addFlags(fs *pflag.FlagSet) {
	over := &c.overrides
	fs.StringVar(&c.kubeconfig, "kubeconfig", "", "File with the API server's address and edge's own credential. If no flag of this group is set, edge uses $KUBECONFIG, ~/.kube/config or the cluster that edge runs in.")
	fs.StringVar(&over.CurrentContext, "context", "", "Context in the kubeconfig to use. If not set, its current context.")
	fs.StringVar(&over.Context.Cluster, "cluster", "", "Cluster in the kubeconfig to use. If not set, the context's.")
	fs.StringVar(&over.Context.AuthInfo, "user", "", "User in the kubeconfig to use. If not set, the context's.")
	fs.StringVar(&over.ClusterInfo.Server, "server", "", "Address of the API server; must use https.")
	fs.StringVar(&over.AuthInfo.Token, "token", "", "Bearer token of edge at the API server. Other users of the machine can see it in the process list: use a kubeconfig if possible.")
	fs.StringVar(&over.ClusterInfo.CertificateAuthority, "certificate-authority", "", "File with the certificate authority of the API server, PEM.")
	fs.StringVar(&over.AuthInfo.ClientCertificate, "client-certificate", "", "File with edge's own client certificate for the API server, PEM.")
	fs.StringVar(&over.AuthInfo.ClientKey, "client-key", "", "File with the private key for --client-certificate, PEM.")
	fs.BoolVar(&over.ClusterInfo.InsecureSkipTLSVerify, "insecure-skip-tls-verify", false, "Do not verify the API server's certificate. An attacker between edge and the API server can then act as any user.")
	fs.StringVar(&over.ClusterInfo.TLSServerName, "tls-server-name", "", "Host name to expect in the API server's certificate, if it is not the one in the API server's address.")
	fs.StringVar(&over.Timeout, "request-timeout", "0", "Time to wait for the API server to begin its response, such as 1s, 2m or 3h; then the client gets a 504. 0 means no limit, except 60s for upgrades.")
	fs.StringVar(&c.streaming, "upstream-streaming", c.streaming, "Protocol for exec, attach and port-forward to the API server: spdy; websocket, after an access review that the user may create the stream; or auto: spdy, and websocket if SPDY does not get through to an API server of 1.35 or later.")
	fs.BoolVar(&c.disableCompression, "disable-compression", false, "Request uncompressed responses from the API server.")
	fs.StringVar(&c.tokens.account, "upstream-token-request", c.tokens.account, "ServiceAccount, as NAMESPACE/NAME. If set, edge uses its configured credential only to request short-lived tokens of this account (TokenRequest). It uses these tokens upstream, and renews them before they expire.")
	fs.StringSliceVar(&c.tokens.audience, "upstream-token-request-audience", c.tokens.audience, "Comma-separated audiences for the tokens of --upstream-token-request. If empty, the API server's own.")
	fs.DurationVar(&c.tokens.lifetime, "upstream-token-request-lifetime", c.tokens.lifetime, "Lifetime to request for the tokens of --upstream-token-request, at least 10m. The API server may shorten it.")
	fs.Float32Var(&c.qps, "kube-client-qps", c.qps, "Maximum rate of edge's own requests to the API server, per second: access reviews, token reviews and token requests. It does not limit the requests of clients. 0 means no limit.")
	fs.IntVar(&c.burst, "kube-client-burst", c.burst, "How many of edge's own requests may be sent at once above --kube-client-qps.")
}

func (c *clientOptions) validate() error {
	switch bridge.Streaming(c.streaming) {
	case bridge.StreamingAuto, bridge.StreamingWebSocket, bridge.StreamingSPDY:
	default:
		return fmt.Errorf("--upstream-streaming: %q is not one of auto, websocket, spdy", c.streaming)
	}
	if c.tokens.account == "" && len(c.tokens.audience) > 0 {
		return errors.New("--upstream-token-request-audience: needs --upstream-token-request")
	}
	if c.tokens.account == "" && c.tokens.lifetime != defaultTokenLifetime {
		return errors.New("--upstream-token-request-lifetime: needs --upstream-token-request")
	}
	if c.qps < 0 {
		return errors.New("--kube-client-qps: must not be negative")
	}
	if c.burst < 1 {
		return errors.New("--kube-client-burst: must be at least 1")
	}
	return nil
}

// limited returns the configuration for edge's own requests to the API server. A client waits for
// each of these requests, so without --kube-client-qps only the API server limits their rate.
func (c *clientOptions) limited(cfg *rest.Config) *rest.Config {
	own := rest.CopyConfig(cfg)
	own.QPS, own.Burst = c.qps, c.burst
	if c.qps == 0 {
		own.QPS = -1
	}
	return own
}

// restConfig returns the API server's address and edge's own credential. It uses flags and a
// kubeconfig as kubectl does, or in a cluster the ServiceAccount of edge's pod.
func (c *clientOptions) restConfig() (*rest.Config, error) {
	rules, err := loadingRules(c.kubeconfig)
	if err != nil {
		return nil, err
	}
	timeout, err := clientcmd.ParseTimeout(c.overrides.Timeout)
	if err != nil || timeout < 0 {
		return nil, fmt.Errorf("--request-timeout: %q is not a duration such as 30s or 2m", c.overrides.Timeout)
	}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.overrides).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no API server is configured: set --kubeconfig or --server, or run edge in a cluster")
	}
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	if strings.Contains(cfg.Host, "@") { // a password in the URL would be logged
		return nil, errors.New("API server: its address must not contain a user name or password")
	}
	// In a cluster, clientcmd takes from the flags only the server, the token and the certificate
	// authority, so the timeout is set here.
	cfg.Timeout = timeout
	over := &c.overrides
	if over.ClusterInfo.TLSServerName != "" {
		cfg.ServerName = over.ClusterInfo.TLSServerName
	}
	if over.ClusterInfo.InsecureSkipTLSVerify {
		cfg.Insecure, cfg.CAFile, cfg.CAData = true, "", nil
	}
	if over.AuthInfo.ClientCertificate != "" {
		cfg.CertFile, cfg.CertData = over.AuthInfo.ClientCertificate, nil
	}
	if over.AuthInfo.ClientKey != "" {
		cfg.KeyFile, cfg.KeyData = over.AuthInfo.ClientKey, nil
	}
	if _, err := rest.TLSConfigFor(cfg); err != nil { // reads the files that cfg names
		return nil, fmt.Errorf("API server: %w", err)
	}
	return cfg, nil
}

// edgeClient returns the HTTP client for edge's own requests. It does not follow redirects: edge's
// credential, and the tokens that edge sends for review, must go only to the API server.
func edgeClient(credential *bridge.Credential) (*http.Client, error) {
	transport, err := credential.Transport()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: tracing.Transport{Next: transport}, Timeout: credential.Config().Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// loadingRules returns kubectl's rules for finding a kubeconfig. If the parameter file is not
// empty, only this file is used, and it must exist.
func loadingRules(file string) (*clientcmd.ClientConfigLoadingRules, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if file != "" {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		rules.ExplicitPath = file
	}
	return rules, nil
}
