package main

import (
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

	"golang.org/x/net/http2"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	readHeaderTimeout = 30 * time.Second
	idleTimeout       = 3 * time.Minute
	maxHeaderBytes    = 128 << 10 // an ALB passes 64 KiB
	http2ReadIdle     = 30 * time.Second
	http2PingTimeout  = 15 * time.Second
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
		base.ClientAuth = tls.RequestClientCert
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
func newServer(handler http.Handler, o *servingOptions, errorLog serverLog) (*http.Server, error) {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errorLog, "", 0),
		// "OPTIONS *" is a request as any other, and nobody's.
		DisableGeneralOptionsHandler: true,
	}
	if o.disableHTTP2 {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		return server, nil
	}
	return server, http2.ConfigureServer(server, &http2.Server{
		MaxConcurrentStreams: o.http2Streams,
		IdleTimeout:          idleTimeout,
		ReadIdleTimeout:      http2ReadIdle,
		PingTimeout:          http2PingTimeout,
	})
}

func listen(ctx context.Context, ip net.IP, port int, shared bool) (net.Listener, error) {
	var how net.ListenConfig
	if shared {
		how.Control = sharePort
	}
	return how.Listen(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
}
