package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// Browser is a running Chromium that trusts the testbed's CA. The Node program
// e2e/browser/browser.mjs controls it.
type Browser struct {
	url     string // address of the HTTP server in browser.mjs, which receives the jobs
	process *run.Process
}

// StartBrowser starts Chromium, with the program that controls it, and returns when both are ready.
func (c *Clients) StartBrowser(ctx context.Context) (*Browser, error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(c.Dir, fmt.Sprintf("browser-%d", port))
	if err := c.trustAuthority(ctx, home); err != nil {
		return nil, err
	}
	b := &Browser{url: "http://" + run.Loopback(port)}
	driver := filepath.Join(root, "e2e", "browser", "browser.mjs")
	b.process, err = run.Spawn(home, "browser", []string{c.Bin.Node, driver, strconv.Itoa(port)},
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(job))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
