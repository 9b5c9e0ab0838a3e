package issuer

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"edge/e2e/testbed/run"
)

//go:embed idp.mjs
var idpProgram []byte

// Issuers starts identity providers for one run of the testbed.
type Issuers struct{ *run.Run }

// StartIssuer starts an identity provider that has the accounts in Users and in more. It returns
// when the provider answers requests.
func (is *Issuers) StartIssuer(ctx context.Context, more ...User) (*Issuer, error) {
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(is.Dir, fmt.Sprintf("issuer-%d", port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	i := &Issuer{
		URL:    "https://" + is.Reachable(port),
		CA:     is.CA.PEM,
		CAFile: filepath.Join(dir, "ca.crt"),
		dir:    dir,
		argv:   []string{is.Bin.Node, "idp.mjs", "config.json"},
		// redirect URI of kubectl's login plugins; no server listens there, because authorize only
		// reads the URI's query
		redirectURI: "http://localhost:8000",
		client: &http.Client{
			Timeout: 30 * time.Second,
			// Each request gets its own connection. Node closes idle connections after 5 s, and Go
			// does not send a POST again whose connection was closed.
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: is.CA.Pool()}, DisableKeepAlives: true},
		},
	}
	if err := i.addKey(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(i.CAFile, i.CA, 0o644); err != nil {
		return nil, err
	}
	cert, key, err := is.CA.IssueFiles(dir, "tls", "issuer")
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"issuer": i.URL, "host": is.Address, "port": port, "cert": cert, "privateKey": key,
		"keys": i.keysFile(), "cookieKey": run.RandomHex(16),
		"clients": []string{ClientID, OtherClientID}, "redirectURI": i.redirectURI,
		"users": accounts(append(slices.Clip(Users), more...)),
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "idp.mjs"), idpProgram, 0o644); err != nil {
		return nil, err
	}
	if err := os.Symlink(is.Bin.NodeModules, filepath.Join(dir, "node_modules")); err != nil {
		return nil, err
	}
	is.OnClose(i.Stop)
	return i, i.Start(ctx)
}

// Start starts the provider again after Stop, with the same address and keys. It returns when the
// provider answers requests.
func (i *Issuer) Start(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process != nil {
		return errors.New("testbed: the issuer is already running")
	}
	process, err := run.Spawn(i.dir, "issuer", i.argv)
	if err != nil {
		return err
	}
	i.process = process
	return run.Until(ctx, run.StartupTime, "issuer", i.probe, process)
}

// Stop kills the provider, as in a crash.
func (i *Issuer) Stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process == nil {
		return
	}
	i.client.CloseIdleConnections()
	i.process.Kill()
	i.process = nil
}

func (i *Issuer) probe(ctx context.Context) error {
	resp, _, err := get(ctx, i.client, i.URL+"/.well-known/openid-configuration", nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("discovery: %s", resp.Status)
	}
	return nil
}

// accounts returns the users in the form that the provider's script idp.mjs reads.
func accounts(users []User) map[string]any {
	all := map[string]any{}
	for _, u := range users {
		claims := map[string]any{
			"preferred_username": u.Name,
			"email":              u.Name + "@example.com",
			"email_verified":     true,
			"groups":             u.Groups,
		}
		maps.Copy(claims, u.Claims)
		lifetime := u.Lifetime
		if lifetime == 0 {
			lifetime = time.Hour
		}
		all[u.Name] = map[string]any{"claims": claims, "lifetimeSeconds": int(lifetime.Seconds())}
	}
	return all
}
