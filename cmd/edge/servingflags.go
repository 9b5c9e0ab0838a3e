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
	// defaultIdleTimeout is longer than any load balancer's before edge: one that sends a request on a connection that is
	// being closed answers 502. An ALB keeps them for 4,000 s at most.
	defaultIdleTimeout = 4100 * time.Second
)

// servingOptions say how clients reach edge. They are kube-apiserver's, but for
// those about browsers and load balancers.
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
	maxConnections int // 0: what the descriptors allow
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
	fs.IPVar(&o.bindAddress, "bind-address", o.bindAddress, "The IP address to listen on for --secure-port.")
	fs.IntVar(&o.securePort, "secure-port", o.securePort, "The port to serve HTTPS on, HTTP/1.1 and HTTP/2.")
	fs.StringVar(&o.certDir, "cert-dir", o.certDir, "The directory of the self-signed certificate (edge.crt, edge.key) that is made if no --tls-cert-file is given.")
	fs.StringVar(&o.certFile, "tls-cert-file", o.certFile, "File with the x509 certificate for HTTPS, followed by its intermediates. It is read again when it changes.")
	fs.StringVar(&o.keyFile, "tls-private-key-file", o.keyFile, "File with the private key that matches --tls-cert-file.")
	fs.Var(cliflag.NewNamedCertKeyArray(&o.sniCerts), "tls-sni-cert-key", "A pair of x509 certificate and private key file paths, optionally followed by the domain patterns that they are for, which may have leading wildcards: \"foo.crt,foo.key\" or \"foo.crt,foo.key:*.foo.com,foo.com\". Without patterns, the certificate's own names serve; explicit matches win over wildcards. Repeat the flag for more.")
	fs.StringSliceVar(&o.cipherSuites, "tls-cipher-suites", o.cipherSuites, "Comma-separated cipher suites for TLS 1.2; Go's defaults if empty. TLS 1.3's cannot be chosen.")
	fs.StringVar(&o.minVersion, "tls-min-version", o.minVersion, "Minimum TLS version: VersionTLS12 (the default) or VersionTLS13.")
	fs.BoolVar(&o.disableHTTP2, "disable-http2-serving", o.disableHTTP2, "Serve HTTP/1.1 only. Needed behind an Envoy that speaks HTTP/2 to its backends: WebSockets are taken over HTTP/1.1 only.")
	fs.Uint32Var(&o.http2Streams, "http2-max-streams-per-connection", o.http2Streams, "The most requests that a client may have open at once in one HTTP/2 connection.")
	fs.DurationVar(&o.idleTimeout, "idle-timeout", o.idleTimeout, "How long a connection may be idle on which somebody has logged in; at most 3m for any other. Keep it above the idle timeout of the load balancer before edge, which otherwise answers 502 now and then: an ALB's is 4000s at most.")
	fs.IntVar(&o.maxConnections, "max-connections", o.maxConnections, "The most connections of clients, without those of streams; 0: what the limit of open files (and GOMEMLIMIT, if set) allows. Past it, the one that has waited longest without a login is closed, then the one that was idle longest; if all are busy, the new one is refused.")
	fs.BoolVar(&o.portSharing, "permit-port-sharing", o.portSharing, "Listen with SO_REUSEPORT, so that more than one edge can be bound to the same address and port.")
	fs.BoolVar(&o.addressSharing, "permit-address-sharing", o.addressSharing, "Accepted for kube-apiserver's sake: edge always listens with SO_REUSEADDR.")
	fs.StringSliceVar(&o.origins, "allowed-origins", o.origins, "Comma-separated origins of web pages that may open WebSockets and write with what a browser adds by itself, such as its user's client certificate, beside pages of edge's own host: https://console.example.com or https://*.example.com. Requests with a bearer token, and clients that send no origin, need none.")
	fs.StringSliceVar(&o.corsOrigins, "cors-allowed-origins", o.corsOrigins, "Comma-separated regular expressions of the origins whose web pages may read edge's answers with fetch (CORS). Each must be pinned to the host's start, by ^ or //, and to its end, by $ or the port's colon: ^https://console\\.example\\.com(:|$). WebSockets do not go by it, see --allowed-origins.")
	fs.StringSliceVar(&o.trustedProxies, "trusted-proxies", o.trustedProxies, "Comma-separated networks (CIDR) or addresses of the load balancers before edge. Only what they say in X-Forwarded-For is believed: the client is the rightmost hop that is none of them.")
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

// trusted reads --trusted-proxies.
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
		if network.Addr().Is4In6() { // what it means is compared in IPv4
			if network.Bits() < 96 {
				return nil, fmt.Errorf("--trusted-proxies: %q is more than the addresses of IPv4", text)
			}
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// tlsConfig is the part of the serving configuration that no file changes.
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
