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
)

const (
	defaultBurst         = 100
	defaultTokenLifetime = time.Hour
)

// clientOptions say how the API server is reached.
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
	fs.StringVar(&c.kubeconfig, "kubeconfig", "", "File with the address of the API server and edge's own credential. Without any flag of this group: $KUBECONFIG, ~/.kube/config, or the cluster that edge runs in.")
	fs.StringVar(&over.CurrentContext, "context", "", "The context in the kubeconfig to use.")
	fs.StringVar(&over.Context.Cluster, "cluster", "", "The cluster in the kubeconfig to use.")
	fs.StringVar(&over.Context.AuthInfo, "user", "", "The user in the kubeconfig to use.")
	fs.StringVar(&over.ClusterInfo.Server, "server", "", "The address of the API server, https only.")
	fs.StringVar(&over.AuthInfo.Token, "token", "", "Bearer token of edge itself at the API server. It can be seen in the process list: a kubeconfig is better.")
	fs.StringVar(&over.ClusterInfo.CertificateAuthority, "certificate-authority", "", "File with the certificate authority of the API server.")
	fs.StringVar(&over.AuthInfo.ClientCertificate, "client-certificate", "", "File with edge's own client certificate for the API server.")
	fs.StringVar(&over.AuthInfo.ClientKey, "client-key", "", "File with the key of --client-certificate.")
	fs.BoolVar(&over.ClusterInfo.InsecureSkipTLSVerify, "insecure-skip-tls-verify", false, "Do not verify the API server's certificate. Whoever stands between can then act as anybody.")
	fs.StringVar(&over.ClusterInfo.TLSServerName, "tls-server-name", "", "The name to expect in the API server's certificate, if not the one in its address.")
	fs.StringVar(&over.Timeout, "request-timeout", "0", "How long to wait for the API server to begin its answer, such as 1s, 2m, 3h; then the client gets a 504. 0 means no limit (upgrades: 60s).")
	fs.StringVar(&c.streaming, "upstream-streaming", c.streaming, "What exec, attach and port-forward go over to the API server: spdy; websocket, after a review that the user may create them; or auto, which is spdy, and websocket where the way to an API server of 1.35 or later does not carry SPDY.")
	fs.BoolVar(&c.disableCompression, "disable-compression", false, "Ask the API server for uncompressed responses.")
	fs.StringVar(&c.tokens.account, "upstream-token-request", c.tokens.account, "The NAMESPACE/NAME of a ServiceAccount. If set, edge asks for short-lived tokens of it (TokenRequest) with the credential above, uses them upstream in its place, and renews them in time.")
	fs.StringSliceVar(&c.tokens.audience, "upstream-token-request-audience", c.tokens.audience, "Comma-separated audiences of those tokens. Empty: the API server's own.")
	fs.DurationVar(&c.tokens.lifetime, "upstream-token-request-lifetime", c.tokens.lifetime, "How long they are asked for, at least 10m; the API server may make it less.")
	fs.Float32Var(&c.qps, "kube-client-qps", c.qps, "The most requests per second that edge makes on its own account, which are access and token reviews, and token requests. Those of its clients have no limit here. 0 means no limit.")
	fs.IntVar(&c.burst, "kube-client-burst", c.burst, "How many of those may be made at once above --kube-client-qps.")
}

func (c *clientOptions) validate() error {
	switch bridge.Streaming(c.streaming) {
	case bridge.StreamingAuto, bridge.StreamingWebSocket, bridge.StreamingSPDY:
	default:
		return fmt.Errorf("--upstream-streaming: %q is none of auto, websocket and spdy", c.streaming)
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

// limited is a configuration for edge's own requests: a user waits for each, so
// that without --kube-client-qps only the API server limits them.
func (c *clientOptions) limited(cfg *rest.Config) *rest.Config {
	own := rest.CopyConfig(cfg)
	own.QPS, own.Burst = c.qps, c.burst
	if c.qps == 0 {
		own.QPS = -1
	}
	return own
}

// restConfig reads the API server's address and edge's own credential, as
// kubectl does, or in a cluster from the ServiceAccount.
func (c *clientOptions) restConfig() (*rest.Config, error) {
	rules, err := loadingRules(c.kubeconfig)
	if err != nil {
		return nil, err
	}
	timeout, err := clientcmd.ParseTimeout(c.overrides.Timeout)
	if err != nil || timeout < 0 {
		return nil, fmt.Errorf("--request-timeout: %q is no duration such as 30s or 2m", c.overrides.Timeout)
	}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.overrides).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("no API server: set --kubeconfig or --server, or run edge in a cluster")
	}
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	if strings.Contains(cfg.Host, "@") { // which the log would show
		return nil, errors.New("API server: its address must not contain a user name or password")
	}
	// In a cluster, clientcmd heeds the server, token and authority flags only.
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
	if _, err := rest.TLSConfigFor(cfg); err != nil { // reads the files it names
		return nil, fmt.Errorf("API server: %w", err)
	}
	return cfg, nil
}

// edgeClient is for edge's own requests. It follows no redirect: edge's credential,
// and the tokens that edge asks about, are for the API server alone.
func edgeClient(credential *bridge.Credential) (*http.Client, error) {
	transport, err := credential.Transport()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: transport, Timeout: credential.Config().Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// loadingRules are kubectl's for where a kubeconfig is: in file, which must be
// there, or if that is empty where kubectl looks.
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
