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

	"github.com/things-go/go-socks5"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// BrowserKind selects a browser. It is the name of the module in e2e/browser that starts it.
type BrowserKind string

const (
	Chromium BrowserKind = "chromium"
	Firefox  BrowserKind = "firefox"
)

// Browser is a running browser that trusts the testbed's CA. The Node program
// e2e/browser/browser.mjs controls it. Both programs run in a PID namespace of their own, so that
// no process of the browser outlives browser.mjs. They also run in a network namespace of their own,
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

// StartBrowser starts a browser, with the program that controls it, and returns when both are ready.
func (c *Clients) StartBrowser(ctx context.Context, kind BrowserKind) (*Browser, error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(c.Dir, "browser-")
	if err != nil {
		return nil, err
	}
	// the browser, the npm package that controls it, and the folder of its certificate store
	program, modules, store := c.Bin.Chromium, c.Bin.Playwright, ".pki/nssdb"
	if kind == Firefox {
		program, modules, store = c.Bin.Firefox, c.Bin.Puppeteer, "profile"
	}
	if err := c.trustAuthority(ctx, filepath.Join(home, store)); err != nil {
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
	b.process, err = run.Spawn(home, string(kind), []string{c.Bin.Unshare, "--pid", "--net", "--fork", "--kill-child", "--mount-proc",
		"/bin/sh", "-c", `"$0" link set lo up && exec "$@"`, c.Bin.IP,
		c.Bin.Node, driver, string(kind), jobsSocket, socksSocket},
		"HOME="+home, "TMPDIR="+home, // Chromium stores its profile below TMPDIR
		"BROWSER="+program, "NODE_PATH="+modules)
	if err != nil {
		return nil, err
	}
	c.OnClose(b.process.Kill)
	return b, run.Until(ctx, run.StartupTime, string(kind), func(ctx context.Context) error {
		// an empty job, to which browser.mjs answers with an error as soon as it is ready
		_, err := b.post(ctx, nil)
		return err
	}, b.process)
}

// noNames resolves no host name, so that the browser sends no DNS query out of this machine.
type noNames struct{}

// Resolve implements socks5.NameResolver. The browsers send an IP address, too, as a name.
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

// trustAuthority makes a certificate store in the folder store, which contains the testbed's CA.
func (c *Clients) trustAuthority(ctx context.Context, store string) error {
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	ca := filepath.Join(store, "ca.crt")
	if err := os.WriteFile(ca, c.CA.PEM, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		// C: the browser trusts this CA for server certificates
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

	// As is the client certificate that the browser, which must be Chromium, presents to the server
	// at As.Origin; nil: the browser has no certificate.
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
