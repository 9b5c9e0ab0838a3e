package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"edge/internal/metric"
	"edge/serving"
)

const (
	// readHeaderTimeout limits the TLS handshake and, over HTTP/1.1, the time to read a header.
	readHeaderTimeout = 30 * time.Second
	// unknownIdleTimeout is the idle timeout of connections without an authenticated request.
	unknownIdleTimeout = 3 * time.Minute
	// maxHeaderBytes limits the header of one request, as in kube-apiserver. The command of an exec
	// is part of the URL, and so of the header.
	maxHeaderBytes = 1 << 20
	// probeConnections limits the connections to the probe port. Its clients are a kubelet, a few
	// load balancers and an operator.
	probeConnections = 256
	// probeIdleTimeout is the idle timeout on the probe port. Probes come every few seconds, each
	// on a new connection.
	probeIdleTimeout = 10 * time.Second
)

// certificates provides the TLS configuration of each handshake, from files that it watches for
// changes.
type certificates struct {
	watched    []dynamiccertificates.ControllerRunner
	controller *dynamiccertificates.DynamicServingCertificateController
	kinds      []servingCertificates
}

// servingCertificates are the certificates of one kind.
type servingCertificates struct {
	kind     string // a value of certificateLabel
	contents []dynamiccertificates.CertKeyContentProvider
	reloads  *reloadCounter
}

// reloadCounter counts how often certificate files have changed.
type reloadCounter struct{ atomic.Int64 }

// Enqueue implements dynamiccertificates.Listener.
func (c *reloadCounter) Enqueue() { c.Add(1) }

// Values of certificateLabel.
const (
	certificateDefault = "default" // of --tls-cert-file, or self-signed
	certificateSNI     = "sni"     // of --tls-sni-cert-key
)

var certificateLabel = metric.Label{Name: "certificate", Values: []string{certificateDefault, certificateSNI}}

// reportExpiry reports when the first certificate of each kind ends.
func (c *certificates) reportExpiry(report func(float64, ...string)) {
	for _, k := range c.kinds {
		var first time.Time
		for _, content := range k.contents {
			pem, _ := content.CurrentCertKeyContent()
			chain, err := cert.ParseCertsPEM(pem)
			if err != nil || len(chain) == 0 {
				continue // edge does not adopt such a file, so this is a race with a change
			}
			if end := chain[0].NotAfter; first.IsZero() || end.Before(first) {
				first = end
			}
		}
		if !first.IsZero() {
			report(float64(first.Unix()), k.kind)
		}
	}
}

// reportReloads reports how often the certificates of each kind were replaced.
func (c *certificates) reportReloads(report func(float64, ...string)) {
	for _, k := range c.kinds {
		report(float64(k.reloads.Load()), k.kind)
	}
}

// newCertificates reads the certificate files. clientCA has the authorities that edge announces
// when it requests a client certificate; nil: edge requests none. authn verifies the client
// certificates.
func newCertificates(o *servingOptions, clientCA dynamiccertificates.CAContentProvider) (*certificates, error) {
	base, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	certFile, keyFile := o.certFile, o.keyFile
	switch {
	case certFile == "" && keyFile == "":
		if certFile, keyFile, err = selfSigned(o.certDir, o.bindAddress); err != nil {
			return nil, err
		}
	case certFile == "" || keyFile == "":
		return nil, errors.New("--tls-cert-file and --tls-private-key-file must be set together")
	}
	content, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving-cert", certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file, --tls-private-key-file: %w", err)
	}
	c := &certificates{watched: []dynamiccertificates.ControllerRunner{content}}
	var named []dynamiccertificates.SNICertKeyContentProvider
	for _, pair := range o.sniCerts {
		sni, err := dynamiccertificates.NewDynamicSNIContentFromFiles("sni-serving-cert", pair.CertFile, pair.KeyFile, pair.Names...)
		if err != nil {
			return nil, fmt.Errorf("--tls-sni-cert-key: %w", err)
		}
		named, c.watched = append(named, sni), append(c.watched, sni)
	}
	if clientCA != nil {
		//nolint:gosec // G123: a resumed session has the chain that VerifyPeer let pass; package authn verifies it for each request
		base.ClientAuth, base.VerifyPeerCertificate = tls.RequestClientCert, serving.VerifyPeer
	}
	c.controller = dynamiccertificates.NewDynamicServingCertificateController(base, clientCA, content, named, nil)
	c.kinds = []servingCertificates{{certificateDefault, []dynamiccertificates.CertKeyContentProvider{content}, new(reloadCounter)}}
	content.AddListener(c.controller)
	content.AddListener(c.kinds[0].reloads)
	if len(named) > 0 {
		all := servingCertificates{kind: certificateSNI, reloads: new(reloadCounter)}
		for _, sni := range named {
			sni.AddListener(c.controller)
			sni.AddListener(all.reloads)
			all.contents = append(all.contents, sni)
		}
		c.kinds = append(c.kinds, all)
	}
	if clientCA != nil {
		clientCA.AddListener(c.controller)
	}
	if err := c.controller.RunOnce(); err != nil {
		return nil, fmt.Errorf("--tls-cert-file: %w", err)
	}
	return c, nil
}

// run watches the files until ctx ends.
func (c *certificates) run(ctx context.Context) {
	for _, files := range c.watched {
		go files.Run(ctx, 1)
	}
	go c.controller.Run(1, ctx.Done())
}

func (c *certificates) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.controller.GetConfigForClient}
}

// selfSigned creates a self-signed certificate in the folder dir, or returns the files of the
// certificate that already exists there.
func selfSigned(dir string, bind net.IP) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, "edge.crt"), filepath.Join(dir, "edge.key")
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
		return certFile, keyFile, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("--cert-dir: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if !bind.IsUnspecified() {
		ips = append(ips, bind)
	}
	crt, key, err := cert.GenerateSelfSignedCertKey(host, ips, []string{"localhost"})
	if err != nil {
		return "", "", fmt.Errorf("self-signed certificate: %w", err)
	}
	err = cert.WriteCert(certFile, crt)
	if err == nil {
		err = keyutil.WriteKey(keyFile, key)
	}
	if err != nil {
		return "", "", fmt.Errorf("--cert-dir: failed to write the self-signed certificate: %w; set --tls-cert-file and --tls-private-key-file, or a writable --cert-dir", err)
	}
	return certFile, keyFile, nil
}

// newServer returns the server for clients, with limits on what a client may do before it is
// authenticated.
func newServer(handler http.Handler, o *servingOptions, certificates *tls.Config, errorLog serverLog) *serving.Server {
	base := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errorLog, "", 0),
		// Treat "OPTIONS *" as any other request, which requires authentication.
		DisableGeneralOptionsHandler: true,
	}
	cfg := serving.Config{
		TLS: certificates, HTTP2Streams: o.http2Streams,
		MaxConnections: cmp.Or(o.maxConnections, maxConnections()),
		IdleTimeout:    o.idleTimeout, UnknownIdleTimeout: min(o.idleTimeout, unknownIdleTimeout),
	}
	if o.disableHTTP2 {
		cfg.HTTP2Streams = 0
	}
	return serving.New(base, cfg)
}

// newProbeServer returns the server for the probe port, with limits for a port without
// authentication.
func newProbeServer(probes *http.Server, errorLog serverLog) *serving.Server {
	probes.ErrorLog = log.New(errorLog, "", 0)
	return serving.New(probes, serving.Config{
		MaxConnections: probeConnections, IdleTimeout: probeIdleTimeout, UnknownIdleTimeout: probeIdleTimeout,
	})
}

func listen(ctx context.Context, ip net.IP, port int, shared bool) (net.Listener, error) {
	var how net.ListenConfig
	if shared {
		how.Control = sharePort
	}
	return how.Listen(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
}
