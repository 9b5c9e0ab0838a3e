package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"

	"edge/authn"
	"edge/bridge"
)

// options are the flags of edge serve. Names and meanings are those of
// kube-apiserver (OIDC, serving), kubectl (client) and kube-oidc-proxy.
type options struct {
	oidc   authn.Flags
	client clientOptions

	bindAddress   net.IP
	securePort    int
	certDir       string
	certFile      string
	keyFile       string
	cipherSuites  []string
	minVersion    string
	disableHTTP2  bool
	http2Streams  uint32
	origins       []string
	readinessPort int
	shutdownDelay time.Duration
	logFormat     string
}

// clientOptions say how the API server is reached.
type clientOptions struct {
	kubeconfig         string
	disableCompression bool
	streaming          string
	overrides          clientcmd.ConfigOverrides
}

const (
	defaultSecurePort    = 6443
	defaultReadinessPort = 8080
	defaultHTTP2Streams  = 250
)

func newOptions() *options {
	return &options{
		bindAddress:   net.IPv4zero,
		securePort:    defaultSecurePort,
		certDir:       "/var/run/kubernetes",
		http2Streams:  defaultHTTP2Streams,
		readinessPort: defaultReadinessPort,
		logFormat:     formatText,
		client:        clientOptions{streaming: string(bridge.StreamingAuto)},
		oidc:          authn.Flags{UsernameClaim: "sub", SigningAlgs: []string{"RS256"}},
	}
}

// flagSets returns the flags in the groups that --help shows.
func (o *options) flagSets() (sets cliflag.NamedFlagSets) {
	o.addOIDC(sets.FlagSet("OIDC"))
	o.addServing(sets.FlagSet("serving"))
	o.addClient(sets.FlagSet("API server"))
	o.addOperation(sets.FlagSet("operation"))
	return sets
}

func (o *options) addOIDC(fs *pflag.FlagSet) {
	c := &o.oidc
	fs.StringVar(&c.IssuerURL, "oidc-issuer-url", c.IssuerURL, "The URL of the OpenID issuer, https only: it must be what tokens have as \"iss\". Required.")
	fs.StringVar(&c.ClientID, "oidc-client-id", c.ClientID, "The client ID for the OpenID Connect client: tokens must have it in \"aud\". Required.")
	fs.StringVar(&c.CAFile, "oidc-ca-file", c.CAFile, "If set, the issuer's certificate is verified by one of the authorities in this file, otherwise by the host's root CA set.")
	fs.StringVar(&c.UsernameClaim, "oidc-username-claim", c.UsernameClaim, "The claim to use as the user name. Claims other than \"sub\" are not guaranteed to be unique and immutable.")
	fs.StringVar(&c.UsernamePrefix, "oidc-username-prefix", c.UsernamePrefix, "If set, all user names get this prefix. If not, claims other than \"email\" get the issuer's URL and \"#\" before them. Use \"-\" for no prefix at all.")
	fs.StringVar(&c.GroupsClaim, "oidc-groups-claim", c.GroupsClaim, "If set, the claim with the user's groups, a string or an array of strings.")
	fs.StringVar(&c.GroupsPrefix, "oidc-groups-prefix", c.GroupsPrefix, "If set, all groups get this prefix, so that they cannot clash with others.")
	fs.StringSliceVar(&c.SigningAlgs, "oidc-signing-algs", c.SigningAlgs, "Comma-separated JOSE signing algorithms that are accepted: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512.")
	fs.Var(cliflag.NewMapStringStringNoSplit(&c.RequiredClaims), "oidc-required-claim", "A key=value pair that a token must have as a claim. Repeat the flag for more.")
}

func (o *options) addServing(fs *pflag.FlagSet) {
	fs.IPVar(&o.bindAddress, "bind-address", o.bindAddress, "The IP address to listen on for --secure-port.")
	fs.IntVar(&o.securePort, "secure-port", o.securePort, "The port to serve HTTPS on, HTTP/1.1 and HTTP/2.")
	fs.StringVar(&o.certDir, "cert-dir", o.certDir, "The directory of the self-signed certificate (edge.crt, edge.key) that is made if no --tls-cert-file is given.")
	fs.StringVar(&o.certFile, "tls-cert-file", o.certFile, "File with the x509 certificate for HTTPS, followed by its intermediates. It is read again when it changes.")
	fs.StringVar(&o.keyFile, "tls-private-key-file", o.keyFile, "File with the private key that matches --tls-cert-file.")
	fs.StringSliceVar(&o.cipherSuites, "tls-cipher-suites", o.cipherSuites, "Comma-separated cipher suites for TLS 1.2; Go's defaults if empty. TLS 1.3's cannot be chosen.")
	fs.StringVar(&o.minVersion, "tls-min-version", o.minVersion, "Minimum TLS version: VersionTLS12 (the default) or VersionTLS13.")
	fs.BoolVar(&o.disableHTTP2, "disable-http2-serving", o.disableHTTP2, "Serve HTTP/1.1 only.")
	fs.Uint32Var(&o.http2Streams, "http2-max-streams-per-connection", o.http2Streams, "The most requests that a client may have open at once in one HTTP/2 connection.")
	fs.StringSliceVar(&o.origins, "allowed-origins", o.origins, "Comma-separated origins of web pages that may open WebSockets, such as https://console.example.com or https://*.example.com, beside pages of edge's own host. Clients that are no browsers send no origin and need none.")
}

func (o *options) addClient(fs *pflag.FlagSet) {
	c := &o.client
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
}

func (o *options) addOperation(fs *pflag.FlagSet) {
	fs.IntVar(&o.readinessPort, "readiness-probe-port", o.readinessPort, "The port of the probes, plain HTTP: /ready is 200 while the issuer's keys are in hand and edge is not shutting down, /live while it runs.")
	fs.DurationVar(&o.shutdownDelay, "shutdown-delay-duration", o.shutdownDelay, "How long to go on serving after a signal, with /ready false already, until load balancers have noticed.")
	fs.StringVar(&o.logFormat, "log-format", o.logFormat, "The format of the log on standard error: text or json.")
}

// validate says what is wrong with the flags that no other package looks at.
func (o *options) validate() error {
	if o.logFormat != formatText && o.logFormat != formatJSON {
		return fmt.Errorf("--log-format: %q is neither text nor json", o.logFormat)
	}
	if err := validPort("--secure-port", o.securePort); err != nil {
		return err
	}
	if err := validPort("--readiness-probe-port", o.readinessPort); err != nil {
		return err
	}
	if o.securePort == o.readinessPort {
		return fmt.Errorf("--readiness-probe-port: %d is --secure-port's already", o.readinessPort)
	}
	if o.http2Streams == 0 {
		return errors.New("--http2-max-streams-per-connection: must be at least 1")
	}
	switch bridge.Streaming(o.client.streaming) {
	case bridge.StreamingAuto, bridge.StreamingWebSocket, bridge.StreamingSPDY:
	default:
		return fmt.Errorf("--upstream-streaming: %q is none of auto, websocket and spdy", o.client.streaming)
	}
	if o.shutdownDelay < 0 {
		return errors.New("--shutdown-delay-duration: must not be negative")
	}
	if o.oidc.IssuerURL == "" {
		return errors.New("--oidc-issuer-url: is required: the https URL of the OpenID Connect issuer")
	}
	return nil
}

func validPort(flag string, port int) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("%s: %d is no port, use 1 to 65535", flag, port)
	}
	return nil
}

// tlsConfig is the part of the serving configuration that no file changes.
func (o *options) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if o.disableHTTP2 {
		cfg.NextProtos = []string{"http/1.1"}
	}
	if o.minVersion != "" {
		version, err := cliflag.TLSVersion(o.minVersion)
		if err != nil || version < tls.VersionTLS12 {
			return nil, fmt.Errorf("--tls-min-version: %q is neither VersionTLS12 nor VersionTLS13", o.minVersion)
		}
		cfg.MinVersion = version
	}
	if len(o.cipherSuites) > 0 {
		suites, err := cliflag.TLSCipherSuites(o.cipherSuites)
		if err != nil {
			return nil, fmt.Errorf("--tls-cipher-suites: %w", err)
		}
		cfg.CipherSuites = suites
	}
	return cfg, nil
}
