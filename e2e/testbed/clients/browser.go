package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/things-go/go-socks5"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// Browser is a running Chromium that trusts the testbed's CA. The Node program
// e2e/browser/browser.mjs controls it. Both programs run in a network namespace of their own,
// because Chromium aborts the connections that it is opening whenever a network interface appears or
// disappears, and each pod of any test adds a network interface. Both programs reach this machine's
// loopback address, and nothing else, through a SOCKS server that the testbed runs.
type Browser struct {
	client  http.Client // connects to the HTTP server in browser.mjs, which receives the jobs
	process *run.Process
}

// The Unix sockets in the browser's folder: the HTTP server of browser.mjs, and the SOCKS server.
const (
	jobsSocket  = "jobs.sock"
	socksSocket = "socks.sock"
)

// StartBrowser starts Chromium, with the program that controls it, and returns when both are ready.
func (c *Clients) StartBrowser(ctx context.Context) (*Browser, error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(c.Dir, "browser-")
	if err != nil {
		return nil, err
	}
	if err := c.trustAuthority(ctx, home); err != nil {
		return nil, err
	}
	if err := c.serveSOCKS(filepath.Join(home, socksSocket)); err != nil {
		return nil, err
	}
	jobs := filepath.Join(home, jobsSocket)
	b := &Browser{client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", jobs)
		},
	}}}
	driver := filepath.Join(root, "e2e", "browser", "browser.mjs")
	b.process, err = run.Spawn(home, "browser", []string{c.Bin.Unshare, "--net", "/bin/sh", "-c", `"$0" link set lo up && exec "$@"`, c.Bin.IP,
		c.Bin.Node, driver, jobsSocket, socksSocket},
		"HOME="+home, "TMPDIR="+home, // Chromium stores its profile below TMPDIR
		"CHROMIUM="+c.Bin.Chromium, "NODE_PATH="+c.Bin.Playwright)
	if err != nil {
		return nil, err
	}
	c.OnClose(func() { b.process.Stop(5 * time.Second) })
	return b, run.Until(ctx, run.StartupTime, "browser", func(ctx context.Context) error {
		// an empty job, to which browser.mjs answers with an error as soon as it is ready
		_, err := b.post(ctx, nil)
		return err
	}, b.process)
}

// noNames resolves no host name, so that the browser sends no DNS query out of this machine.
type noNames struct{}

// Resolve implements socks5.NameResolver. Chromium sends an IP address, too, as a name.
func (noNames) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	if ip := net.ParseIP(name); ip != nil {
		return ctx, ip, nil
	}
	return ctx, nil, fmt.Errorf("testbed: the browser may not resolve %q", name)
}

// serveSOCKS serves SOCKS5 (RFC 1928) on a Unix socket until the run ends. A client can connect to
// ports of 127.0.0.1 and of the run's address only.
func (c *Clients) serveSOCKS(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	c.OnClose(func() { l.Close() })
	server := socks5.NewServer(socks5.WithResolver(noNames{}), socks5.WithDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(addr); err != nil || host != "127.0.0.1" && host != c.Address {
			return nil, fmt.Errorf("testbed: the browser may not connect to %q: %w", addr, syscall.EACCES)
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}))
	go server.Serve(l)
	return nil
}

// trustAuthority makes a home folder for Chromium. Its certificate store contains the testbed's CA.
func (c *Clients) trustAuthority(ctx context.Context, home string) error {
	// the folder in which Chromium on Linux expects its certificate store
	store := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	ca := filepath.Join(home, "ca.crt")
	if err := os.WriteFile(ca, c.CA.PEM, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		// C: Chromium trusts this CA for server certificates
		{"-A", "-n", "testbed", "-t", "C,,", "-i", ca},
	} {
		cmd := exec.CommandContext(ctx, c.Bin.Certutil, append([]string{"-d", "sql:" + store}, args...)...)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("testbed: %s: %w\n%s", cmd, err, said)
		}
	}
	return nil
}

// Visit is a job for the browser: the web page that it opens, and the verb (a function of page.js)
// that it runs there.
type Visit struct {
	Page string `json:"page"` // URL of the web page
	Verb string `json:"verb"`
	Args any    `json:"args"`

	// As is the client certificate that the browser presents to the server at As.Origin; nil: the
	// browser has no certificate.
	As *ClientCertificate `json:"certificate,omitempty"`
}

// ClientCertificate is a client certificate that the browser presents to one server. Certificate
// and key are PEM.
type ClientCertificate struct {
	Origin string `json:"origin"`
	Cert   string `json:"cert"`
	Key    string `json:"key"`
}

// CertificateOf converts the client certificate of an Access (a server's address with a credential)
// to the form that browser.mjs expects.
func CertificateOf(a cluster.Access) *ClientCertificate {
	return &ClientCertificate{Origin: a.Server, Cert: string(a.Client.Cert), Key: string(a.Client.Key)}
}

// Visit opens the web page v.Page in the browser and runs the verb v.Verb, a function of
// e2e/browser/page.js, there. It stores the verb's result in seen. said are the messages in the
// page's console. They may contain the reason for a failed WebSocket, which the page itself cannot
// find out.
func (b *Browser) Visit(ctx context.Context, v Visit, seen any) (said []string, err error) {
	job, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	resp, err := b.post(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("testbed: browser: %w", err)
	}
	outcome := struct {
		Seen any
		Said *[]string
	}{seen, &said}
	if err := json.Unmarshal(resp, &outcome); err != nil {
		// browser.mjs sends its error message instead of a result
		return nil, fmt.Errorf("testbed: browser: %.2000s", resp)
	}
	return said, nil
}

// post sends a job to browser.mjs and returns the body of the response, whatever its status code
// is.
func (b *Browser) post(ctx context.Context, job []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://browser", bytes.NewReader(job))
	if err != nil {
		return nil, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
