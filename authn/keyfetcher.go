package authn

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// fetchTimeout bounds one fetch, discovery and keys together, and with it how long a request waits for new keys.
	fetchTimeout = 10 * time.Second
	// maxDocumentBytes bounds each of the issuer's documents; a key is about 1 KiB with its certificate.
	maxDocumentBytes = 1 << 20
	// maxDocumentHeaderBytes bounds the header of each of the issuer's answers.
	maxDocumentHeaderBytes = 64 << 10
	// maxKeys bounds the issuer's keys: a token without a key id is tried with each.
	maxKeys = 64
	// maxRedirects bounds the way to a document.
	maxRedirects = 3
	// idleTimeout is short, because fetches are minutes apart.
	idleTimeout = 10 * time.Second
)

// wellKnown is where an issuer's discovery document is, unless the configuration has a URL for it.
const wellKnown = "/.well-known/openid-configuration"

// keyFetcher fetches one issuer's keys. It is used by one goroutine at a time.
type keyFetcher struct {
	keyOrigin

	ca     []byte // what client trusts: the CA's content when client was made
	client *http.Client
	jwks   string // where the keys are; empty: discover it first
}

// keyOrigin is all that decides where an issuer's keys come from, and who is believed to be the issuer there.
type keyOrigin struct {
	issuer    string // its URL
	discovery string // the discovery document's own URL; empty: the issuer's, and wellKnown
	ca        string // PEM; empty: the system's roots
	caFile    string // if not empty, ca's newest content
}

// fetch returns the issuer's keys, or errNoKeys where it answered and has none. After any error it begins again with
// discovery, since the keys may have moved.
func (f *keyFetcher) fetch(ctx context.Context) (keys []jose.JSONWebKey, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			f.jwks = ""
		}
	}()
	if err := f.trust(); err != nil {
		return nil, err
	}
	if f.jwks == "" {
		if f.jwks, err = f.discover(ctx); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	if keys, err = f.fetchKeys(ctx); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

// trust makes the client, and makes it anew after the CA file has changed.
func (f *keyFetcher) trust() error {
	pem := []byte(f.keyOrigin.ca)
	if f.caFile != "" {
		var err error
		if pem, err = readCAFile(f.caFile); err != nil {
			return err
		}
	}
	if f.client != nil && bytes.Equal(pem, f.ca) {
		return nil
	}
	var roots *x509.CertPool
	if len(pem) > 0 {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("no PEM certificate in the issuer's certificate authority")
		}
	}
	f.close()
	f.ca, f.client = pem, newIssuerClient(roots, f.keyOrigin)
	return nil
}

// discover returns the URL of the keys (OpenID Connect Discovery 1.0, section 4).
func (f *keyFetcher) discover(ctx context.Context) (string, error) {
	// A context value is how go-oidc takes its client; it goes no further than this call.
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, f.client), f.issuer)
	if err != nil {
		return "", err
	}
	var metadata struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return "", err
	}
	if u, err := url.Parse(metadata.JWKS); err != nil || u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("jwks_uri %.100q is not an https URL", metadata.JWKS)
	}
	return metadata.JWKS, nil
}

func (f *keyFetcher) fetchKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.jwks, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", f.jwks, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys returns those keys of a JWK Set that can verify a signature. Keys that are not understood are passed over, as RFC
// 7517 section 5 asks; so are symmetric and private ones, which nobody should have published.
func parseKeys(document []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New("not a JWK Set: no keys member")
	}
	if len(*set.Keys) > maxKeys {
		return nil, fmt.Errorf("the JWK Set has more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range *set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.IsPublic() && key.Valid() {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (f *keyFetcher) close() {
	if f.client != nil {
		f.client.CloseIdleConnections()
	}
}

// newIssuerClient makes a client that reads bounded documents and follows few redirects, none away from https.
func newIssuerClient(roots *x509.CertPool, from keyOrigin) *http.Client {
	return &http.Client{
		Transport: &issuerTransport{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				ForceAttemptHTTP2:      true,
				IdleConnTimeout:        idleTimeout,
				MaxResponseHeaderBytes: maxDocumentHeaderBytes,
			},
			from: from,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if req.URL.Scheme != "https" {
				return errors.New("a redirect away from https")
			}
			return nil
		},
		Timeout: fetchTimeout,
	}
}

// issuerTransport ends each body that is longer than maxDocumentBytes with an error, for go-oidc reads to the end; and
// it gets the discovery document where the configuration says that it is, for go-oidc asks the issuer. That the
// document names the issuer is checked by go-oidc all the same.
type issuerTransport struct {
	*http.Transport
	from keyOrigin
}

func (t *issuerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.from.discovery != "" && req.URL.String() == strings.TrimSuffix(t.from.issuer, "/")+wellKnown {
		elsewhere, err := url.Parse(t.from.discovery)
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.URL, req.Host = elsewhere, ""
	}
	resp, err := t.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, maxDocumentBytes}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errDocumentTooLarge
	}
	return n, err
}
