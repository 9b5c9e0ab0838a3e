package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// Browser is Chromium, of one who trusts the testbed's authority. Each visit starts it anew, without a past.
type Browser struct {
	tb   *Testbed
	home string
}

// NewBrowser makes a home with the authority in it.
func (tb *Testbed) NewBrowser(ctx context.Context) (*Browser, error) {
	b := &Browser{tb: tb, home: filepath.Join(tb.Dir, "browser")}
	store := filepath.Join(b.home, ".pki", "nssdb") // where Chromium looks on Linux
	if err := os.MkdirAll(store, 0o755); err != nil {
		return nil, err
	}
	ca := filepath.Join(b.home, "ca.crt")
	if err := os.WriteFile(ca, tb.CA.PEM, 0o644); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		{"-A", "-n", "testbed", "-t", "C,,", "-i", ca}, // C: for servers
	} {
		cmd := exec.CommandContext(ctx, tb.Bin.Certutil, append([]string{"-d", "sql:" + store}, args...)...)
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("testbed: %s: %w\n%s", cmd, err, said)
		}
	}
	return b, nil
}

// Visit is what a page is to do: one of the verbs in e2e/browser/page.js.
type Visit struct {
	Page string `json:"page"` // URL
	Verb string `json:"verb"`
	Args any    `json:"args"`
}

// Visit opens a page and lets it do its verb, whose result goes to seen. said is what the browser told about the page on its
// console, where it explains a failed WebSocket; the page itself may not know why.
func (b *Browser) Visit(ctx context.Context, v Visit, seen any) (said []string, err error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	job, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	env := []string{
		"HOME=" + b.home, "TMPDIR=" + b.home, // a profile is a temporary folder
		"CHROMIUM=" + b.tb.Bin.Chromium, "NODE_PATH=" + b.tb.Bin.Playwright,
	}
	cmd := b.tb.command(ctx, env, b.tb.Bin.Node, filepath.Join(root, "e2e", "browser", "visit.mjs"))
	r := RunCommand(ctx, cmd, bytes.NewReader(job))
	if r.Err != nil || r.Code != 0 {
		return nil, fmt.Errorf("testbed: browser: code %d, %v: %.2000s", r.Code, r.Err, r.Stderr)
	}
	outcome := struct {
		Seen any
		Said *[]string
	}{seen, &said}
	if err := json.Unmarshal(r.Stdout, &outcome); err != nil {
		return nil, fmt.Errorf("testbed: browser: %w: %.500q", err, r.Stdout)
	}
	return said, nil
}
