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

// roleCommand as the first argument makes this program a child of another run of itself, and the second
// names what it is to be. The child reads its roleConfig from its input, prints the address it listens
// on as one line, and serves until that input ends: it cannot outlive the driver.
const roleCommand = "role"

// headerTimeout bounds how long a role's server waits for a request.
const headerTimeout = 30 * time.Second

// roleConfig is everything that a role needs to know.
type roleConfig struct {
	CAFile   string // whom to believe upstream
	CertFile string // what to show downstream
	KeyFile  string
	Upstream string // base URL; unused by upstream itself
}

// roles build the handler of each role.
var roles = map[string]func(roleConfig) (http.Handler, error){
	"upstream":   newUpstream,
	"translator": newTranslator,
	"relay":      newRelay,
	"plainrelay": newPlainRelay,
}

// runRole is a child's main; it returns the exit code.
func runRole(name string, stdin io.Reader, stdout, stderr io.Writer) int {
	build, ok := roles[name]
	if !ok {
		fmt.Fprintf(stderr, "bench: no role %q\n", name)
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

// upstreamTransport is how a peer reaches upstream: with default settings, as its users have it.
func (c roleConfig) upstreamTransport() (*url.URL, *http.Transport, error) {
	location, err := url.Parse(c.Upstream)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: upstream's address: %w", err)
	}
	ca, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("bench: upstream's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, nil, fmt.Errorf("bench: no certificate in %s", c.CAFile)
	}
	return location, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, nil
}
