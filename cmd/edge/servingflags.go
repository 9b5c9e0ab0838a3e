package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
)

const (
	defaultSecurePort   = 6443
	defaultHTTP2Streams = 250
	// defaultIdleTimeout is longer than the idle timeout of any load balancer in front of edge; an
	// ALB's is at most 4,000 s. A load balancer answers 502 if it sends a request on a connection
	// that edge is closing.
	defaultIdleTimeout = 4100 * time.Second
)

// servingOptions configure how clients connect to edge. The flags are kube-apiserver's, except
// those for browsers and load balancers.
type servingOptions struct {
	bindAddress    net.IP
	securePort     int
	certDir        string
	certFile       string
	keyFile        string
	sniCerts       []cliflag.NamedCertKey
	cipherSuites   []string
	minVersion     string
	disableHTTP2   bool
	http2Streams   uint32
	idleTimeout    time.Duration
	maxConnections int // 0: as many as the limit of open files allows
	portSharing    bool
	addressSharing bool
	origins        []string
	corsOrigins    []string
	trustedProxies []string
}

func newServingOptions() servingOptions {
	return servingOptions{
		bindAddress:  net.IPv4zero,
		securePort:   defaultSecurePort,
		certDir:      "/var/run/kubernetes",
		http2Streams: defaultHTTP2Streams,
		idleTimeout:  defaultIdleTimeout,
	}
}

func (o *servingOptions) addFlags(fs *pflag.FlagSet) {
	fs.IPVar(&o.bindAddress, "bind-address", o.bindAddress, "IP address to listen on, for --secure-port and --readiness-probe-port.")
	fs.IntVar(&o.securePort, "secure-port", o.securePort, "Port for HTTPS (HTTP/1.1 and HTTP/2).")
	fs.StringVar(&o.certDir, "cert-dir", o.certDir, "Directory for the self-signed certificate (edge.crt, edge.key) that edge creates if --tls-cert-file is not set.")
	fs.StringVar(&o.certFile, "tls-cert-file", o.certFile, "File with the x509 certificate for HTTPS, followed by its intermediate certificates, PEM. edge reloads it when it changes.")
	fs.StringVar(&o.keyFile, "tls-private-key-file", o.keyFile, "File with the private key for --tls-cert-file, PEM.")
	fs.Var(cliflag.NewNamedCertKeyArray(&o.sniCerts), "tls-sni-cert-key", "Certificate and key file for certain host names: \"foo.crt,foo.key\" or \"foo.crt,foo.key:*.foo.com,foo.com\". Without host names, the names in the certificate apply. Exact names win over wildcards. Repeat the flag for more.")
	fs.StringSliceVar(&o.cipherSuites, "tls-cipher-suites", o.cipherSuites, "Comma-separated cipher suites for TLS 1.2. If empty, Go's defaults are used. The cipher suites of TLS 1.3 cannot be configured.")
	fs.StringVar(&o.minVersion, "tls-min-version", o.minVersion, "Minimum TLS version: VersionTLS12 (the default) or VersionTLS13.")
	fs.BoolVar(&o.disableHTTP2, "disable-http2-serving", o.disableHTTP2, "Serve HTTP/1.1 only. Required behind an Envoy that uses HTTP/2 to its backends, because edge accepts WebSockets over HTTP/1.1 only.")
	fs.Uint32Var(&o.http2Streams, "http2-max-streams-per-connection", o.http2Streams, "Maximum number of concurrent requests in one HTTP/2 connection of a client.")
	fs.DurationVar(&o.idleTimeout, "idle-timeout", o.idleTimeout, "Time after which an idle client connection is closed, at most 3m if no request on it was authenticated. Set it higher than the idle timeout of the load balancer in front of edge (ALB: up to 4000s), or the load balancer sometimes answers 502.")
	fs.IntVar(&o.maxConnections, "max-connections", o.maxConnections, "Maximum number of client connections; those upgraded to WebSocket or SPDY do not count. 0: what the limit of open files (and GOMEMLIMIT) allows. At the maximum, edge closes the connection that has waited longest without a login, or else the one that has been idle longest. If there is neither, edge refuses new connections.")
	fs.BoolVar(&o.portSharing, "permit-port-sharing", o.portSharing, "Listen with SO_REUSEPORT, so that several edge processes can use the same address and port.")
	fs.BoolVar(&o.addressSharing, "permit-address-sharing", o.addressSharing, "Has no effect; accepted for compatibility with kube-apiserver. edge always listens with SO_REUSEADDR.")
	fs.StringSliceVar(&o.origins, "allowed-origins", o.origins, "Comma-separated origins, such as https://console.example.com or https://*.example.com, whose web pages may open WebSockets and write with credentials that a browser adds itself (client certificates). Not needed for edge's own host or bearer tokens.")
	fs.StringSliceVar(&o.corsOrigins, "cors-allowed-origins", o.corsOrigins, "Comma-separated regular expressions of origins whose web pages may read responses with fetch (CORS). Each must anchor the start of the host, by ^ or //, and its end, by $ or a colon: ^https://console\\.example\\.com(:|$). It does not apply to WebSockets.")
	fs.StringSliceVar(&o.trustedProxies, "trusted-proxies", o.trustedProxies, "Comma-separated networks (CIDR) or addresses of the load balancers in front of edge. edge trusts X-Forwarded-For only from these: the client is the rightmost address in it that is not one of them. With --tracing-endpoint, the same holds for traceparent.")
}

func (o *servingOptions) validate() error {
	if err := validPort("--secure-port", o.securePort); err != nil {
		return err
	}
	if o.http2Streams == 0 {
		return errors.New("--http2-max-streams-per-connection: must be at least 1")
	}
	if o.idleTimeout <= 0 {
		return errors.New("--idle-timeout: must be more than 0")
	}
	if o.maxConnections < 0 {
		return errors.New("--max-connections: must not be negative")
	}
	if most := descriptors() - reservedDescriptors; o.maxConnections > most {
		return fmt.Errorf("--max-connections: %d is more than the limit of open files allows, at most %d", o.maxConnections, max(0, most))
	}
	_, err := o.trusted()
	return err
}

// trusted parses --trusted-proxies.
func (o *servingOptions) trusted() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range o.trustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(text); err == nil {
				network, err = address.Prefix(address.BitLen())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies: %q is neither a network such as 10.0.0.0/8 nor an address", text)
		}
		if network.Addr().Is4In6() { // store the network as IPv4, because edge compares it with IPv4 addresses
			if network.Bits() < 96 {
				return nil, fmt.Errorf("--trusted-proxies: %q contains more than IPv4 addresses: its prefix length must be at least 96", text)
			}
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// tlsConfig returns the part of the TLS configuration that does not depend on files.
func (o *servingOptions) tlsConfig() (*tls.Config, error) {
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
