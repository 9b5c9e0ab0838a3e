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
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"edge/serving"
)

const (
	// readHeaderTimeout bounds a handshake, and then a header over HTTP/1.1.
	readHeaderTimeout = 30 * time.Second
	// unknownIdleTimeout is --idle-timeout for connections on which nobody has logged in.
	unknownIdleTimeout = 3 * time.Minute
	// maxHeaderBytes bounds one request's header: kube-apiserver's own. An exec's command travels in the URL.
	maxHeaderBytes = 1 << 20
	// probeConnections bounds those of the operator's port: a kubelet's, a few load balancers', an operator's.
	probeConnections = 256
	// probeIdleTimeout is theirs: probes come every few seconds, on connections of their own.
	probeIdleTimeout = 10 * time.Second
)

// certificates gives the TLS configuration of each handshake, from files that
// are watched.
type certificates struct {
	watched    []dynamiccertificates.ControllerRunner
	controller *dynamiccertificates.DynamicServingCertificateController
}

// newCertificates reads all of them. clientCA, which may be nil, is whom clients
// are asked for certificates of; who reads them is authn.
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
		return nil, errors.New("--tls-cert-file and --tls-private-key-file go together")
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
		base.ClientAuth, base.VerifyPeerCertificate = tls.RequestClientCert, serving.VerifyPeer
	}
	c.controller = dynamiccertificates.NewDynamicServingCertificateController(base, clientCA, content, named, nil)
	content.AddListener(c.controller)
	for _, sni := range named {
		sni.AddListener(c.controller)
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

// selfSigned makes a certificate in dir once, and finds it there afterwards.
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
		return "", "", fmt.Errorf("--cert-dir: the self-signed certificate cannot be written: %w; set --tls-cert-file and --tls-private-key-file, or a --cert-dir that is writable", err)
	}
	return certFile, keyFile, nil
}

// newServer bounds what a client may do before it is known.
func newServer(handler http.Handler, o *servingOptions, certificates *tls.Config, errorLog serverLog) *serving.Server {
	base := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errorLog, "", 0),
		// "OPTIONS *" is a request as any other, and nobody's.
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

// newProbeServer gives the operator's port the bounds that it needs: nobody logs in there.
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
