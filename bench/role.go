package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// roleCommand as the first argument makes this program a child process of another bench. The second
// argument is the name of a role (upstream or a proxy). The child reads its roleConfig from stdin,
// prints its address as one line, and serves until stdin ends. So a child ends when bench does.
const roleCommand = "role"

// headerTimeout limits how long a server of bench waits for the header of a request.
const headerTimeout = 30 * time.Second

// roleConfig is the configuration that bench sends to a child process with a role (upstream or a
// proxy).
type roleConfig struct {
	CAFile   string // path of the certificate of the authority that signed the upstream server's certificate
	CertFile string // path of the certificate with which the child process serves
	KeyFile  string
	Upstream string // base URL of the upstream server; not used by the role upstream
}

// roles maps the name of each role (upstream or a proxy) to the function that builds its handler.
var roles = map[string]func(roleConfig) (http.Handler, error){
	"upstream":   newUpstream,
	"translator": newTranslator,
	"relay":      newRelay,
	"plainrelay": newPlainRelay,
}

// runRole runs this program as the child process with the named role, and returns the exit code.
func runRole(name string, stdin io.Reader, stdout, stderr io.Writer) int {
	build, ok := roles[name]
	if !ok {
		fmt.Fprintf(stderr, "bench: unknown role %q\n", name)
		return exitUsage
	}
	if err := serveRole(build, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return exitError
	}
	return exitOK
}

func serveRole(build func(roleConfig) (http.Handler, error), stdin io.Reader, stdout io.Writer) error {
	var c roleConfig
	if err := json.NewDecoder(stdin).Decode(&c); err != nil {
		return fmt.Errorf("bench: read the role's configuration: %w", err)
	}
	handler, err := build(c)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("bench: listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(l, c.CertFile, c.KeyFile) }()
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(orphaned)
	}()
	fmt.Fprintln(stdout, l.Addr())
	select {
	case err := <-failed:
		return fmt.Errorf("bench: serve: %w", err)
	case <-orphaned:
		_ = server.Close()
		return nil
	}
}

// upstreamTransport returns the URL of the upstream server and an http.Transport for it. Except for
// the CA the transport has the default settings of http.Transport, because bench should measure
// these proxies as they are without tuning.
func (c roleConfig) upstreamTransport() (*url.URL, *http.Transport, error) {
	location, err := url.Parse(c.Upstream)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: parse the address of upstream: %w", err)
	}
	ca, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: read the CA of upstream: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, nil, fmt.Errorf("bench: no certificate in %s", c.CAFile)
	}
	return location, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, nil
}
