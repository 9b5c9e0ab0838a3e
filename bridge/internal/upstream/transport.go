package upstream

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/roundtrip"
)

const (
	maxAnswerHeader   = 10 << 20 // maximum bytes of an answer's header, as in client-go
	resumableSessions = 4        // cached TLS sessions, one for each server name
)

// A connectionMaker makes the transports that edge uses for one API server.
type connectionMaker struct {
	dialer  *dialer
	metrics *roundtrip.Metrics // nil: nothing is measured
	tls     *tls.Config
	proxy   func(*http.Request) (*url.URL, error)
	plain   dialFunc // opens connections for plain requests
}

func newConnectionMaker(cfg *rest.Config, base *url.URL, m *roundtrip.Metrics) (*connectionMaker, error) {
	tc, err := cfg.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("bridge: cannot use the credential for the API server: %w", err)
	}
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return nil, fmt.Errorf("bridge: invalid TLS configuration for the API server: %w", err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	// With a client certificate, do not resume TLS sessions: after the certificate is replaced, a
	// resumed session would still use the old one.
	if tlsConfig.GetClientCertificate == nil {
		tlsConfig.ClientSessionCache = tls.NewLRUClientSessionCache(resumableSessions)
	}
	w := &connectionMaker{dialer: newDialer(cfg, base, tlsConfig, m), metrics: m, tls: tlsConfig, proxy: http.ProxyFromEnvironment}
	w.plain = w.dialer.dial
	// DialHolder closes the connections of a client certificate that was replaced.
	if tc.DialHolder != nil && cfg.Dial == nil {
		w.plain = tc.DialHolder.Dial
	}
	if cfg.Proxy != nil {
		w.proxy = cfg.Proxy
	}
	return w, nil
}

// direct returns the transport for plain requests, without a credential.
func (w *connectionMaker) direct(cfg *rest.Config, base *url.URL, doubt *roundtrip.Doubt, windows *roundtrip.Windows, asks bool) (*roundtrip.Transport, error) {
	return roundtrip.New(roundtrip.Config{
		Base: base, Dial: w.plain, TLS: w.tls, Proxy: w.proxy,
		AnswerTimeout: cfg.Timeout, Doubt: doubt, Metrics: w.metrics, Windows: windows, Endless: negotiate.IsEndless, Asks: asks,
	})
}

// upgrade returns the transport for upgrades, without a credential.
func (w *connectionMaker) upgrade(cfg *rest.Config) *http.Transport {
	t := &http.Transport{
		Proxy:                  w.proxy,
		DialContext:            w.dialer.dial,
		DialTLSContext:         w.dialer.dialTLS,
		TLSClientConfig:        w.tls.Clone(),
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true, // bodies pass unchanged
		ResponseHeaderTimeout:  cfg.Timeout,
		// Keep no idle connections. The API server closes a connection after some refusals, and
		// edge could not repeat an upgrade that it sent on such a connection.
		MaxIdleConnsPerHost: -1,
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     1 << 10,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{}, // not HTTP/2
	}
	// net/http uses this for an API server behind a proxy, and DialTLSContext in the other cases.
	t.TLSClientConfig.NextProtos = []string{http1}
	if t.ResponseHeaderTimeout == 0 {
		t.ResponseHeaderTimeout = upgradeAnswer
	}
	return t
}

// NewTransport returns a transport for edge's own requests, such as access reviews and token
// requests. A request is sent again if the API server certainly did not process it, and also if its
// connection breaks, because each of these requests may be done twice. A connection on which the
// API server is silent gets no new requests. The caller calls end when it needs the transport no more.
func NewTransport(cfg *rest.Config) (rt http.RoundTripper, end func(), err error) {
	return newTransport(cfg, new(roundtrip.Doubt))
}

func newTransport(cfg *rest.Config, doubt *roundtrip.Doubt) (rt http.RoundTripper, end func(), err error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("bridge: invalid API server address: %w", err)
	}
	w, err := newConnectionMaker(cfg, base, nil) // the callers measure edge's own requests
	if err != nil {
		return nil, nil, err
	}
	direct, err := w.direct(cfg, base, doubt, nil, true) // nil: no wide receive windows, because the answers are small
	if err != nil {
		return nil, nil, err
	}
	if rt, err = rest.HTTPWrappersForConfig(cfg, direct); err != nil {
		return nil, nil, fmt.Errorf("bridge: cannot use the credential for the API server: %w", err)
	}
	return rt, direct.Close, nil
}
