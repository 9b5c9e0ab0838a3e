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

// Browser is a running Chromium of one who trusts the testbed's authority.
type Browser struct {
	url     string // of e2e/browser/browser.mjs, which drives it
	process *run.Process
}

// StartBrowser returns when Chromium is up.
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
		"HOME="+home, "TMPDIR="+home, // Chromium's profile is a temporary folder
		"CHROMIUM="+c.Bin.Chromium, "NODE_PATH="+c.Bin.Playwright)
	if err != nil {
		return nil, err
	}
	c.OnClose(func() { b.process.Stop(5 * time.Second) })
	return b, run.Until(ctx, run.StartupTime, "browser", func(ctx context.Context) error {
		_, err := b.post(ctx, nil) // no visit: it cannot be read
		return err
	}, b.process)
}

// trustAuthority makes a home in which Chromium finds the authority.
func (c *Clients) trustAuthority(ctx context.Context, home string) error {
	store := filepath.Join(home, ".pki", "nssdb") // where Chromium looks on Linux
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	ca := filepath.Join(home, "ca.crt")
	if err := os.WriteFile(ca, c.CA.PEM, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		{"-A", "-n", "testbed", "-t", "C,,", "-i", ca}, // C: for servers
	} {
		cmd := exec.CommandContext(ctx, c.Bin.Certutil, append([]string{"-d", "sql:" + store}, args...)...)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("testbed: %s: %w\n%s", cmd, err, said)
		}
	}
	return nil
}

// Visit is what a page is to do: one of the verbs in e2e/browser/page.js.
type Visit struct {
	Page string `json:"page"` // URL
	Verb string `json:"verb"`
	Args any    `json:"args"`

	// As is the visitor's own certificate, which the browser shows to a server at Origin by itself; nil: the visitor has none.
	As *ClientCertificate `json:"certificate,omitempty"`
}

// ClientCertificate is one that a browser has, PEM.
type ClientCertificate struct {
	Origin string `json:"origin"`
	Cert   string `json:"cert"`
	Key    string `json:"key"`
}

// CertificateOf is the client certificate of an Access as a browser has it.
func CertificateOf(a cluster.Access) *ClientCertificate {
	return &ClientCertificate{Origin: a.Server, Cert: string(a.Client.Cert), Key: string(a.Client.Key)}
}

// Visit opens a page and lets it do its verb, whose result goes to seen. said is what the browser told about the page on its
// console, where it explains a failed WebSocket; the page itself may not know why.
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
		return nil, fmt.Errorf("testbed: browser: %.2000s", resp) // its own account of what went wrong
	}
	return said, nil
}

// post returns the driver's answer, whatever it says.
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
