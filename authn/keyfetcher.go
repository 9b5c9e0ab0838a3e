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
	// fetchTimeout bounds one fetch of an issuer's discovery document and keys together. It also
	// bounds how long a request waits for new keys.
	fetchTimeout = 10 * time.Second
	// maxDocumentBytes bounds the size of each document that edge fetches from an issuer (discovery
	// document, keys), in bytes. A key with its certificate has about 1 KiB.
	maxDocumentBytes = 1 << 20
	// maxDocumentHeaderBytes bounds the header of each response of the issuer, in bytes.
	maxDocumentHeaderBytes = 64 << 10
	// maxKeys bounds the number of an issuer's keys, because edge tries all of them for a token
	// without a key ID.
	maxKeys = 64
	// maxRedirects bounds the number of redirects that edge follows to fetch one document of an
	// issuer.
	maxRedirects = 3
	// idleTimeout is how long a connection to the issuer may be idle before edge closes it. It is
	// short, because fetches are minutes apart.
	idleTimeout = 10 * time.Second
)

// wellKnown is the path of the discovery document below the issuer's URL. The configuration may
// give another URL for the document.
const wellKnown = "/.well-known/openid-configuration"

// keyFetcher fetches the keys of one issuer. Only one goroutine at a time may use it.
type keyFetcher struct {
	keyOrigin

	ca     []byte // PEM of the CA certificates that the field client trusts, read when the client was created
	client *http.Client
	jwks   string // URL of the keys; empty: fetch the discovery document first
}

// keyOrigin contains the settings that decide from where an issuer's keys are fetched, and which
// server edge trusts as the issuer.
type keyOrigin struct {
	issuer    string // URL of the issuer
	discovery string // URL of the discovery document; empty: the field issuer followed by the constant wellKnown
	ca        string // PEM of the CA certificates; empty: the system's root certificates
	caFile    string // file with CA certificates that replaces the field ca, read at each fetch of keys; empty: use the field ca
}

// fetch returns the issuer's keys. It returns errNoKeys if the issuer's answer contains no usable
// key. After any error, the next fetch reads the discovery document again, because the URL of the
// keys may have changed.
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

// trust creates the HTTP client that trusts the configured CA certificates. If the CA file has
// changed, trust replaces the client by a new one.
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

// discover fetches the discovery document and returns the URL of the keys (OpenID Connect Discovery
// 1.0, section 4).
func (f *keyFetcher) discover(ctx context.Context) (string, error) {
	// go-oidc takes its HTTP client from the context of this call.
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

// parseKeys returns the keys of a JWK Set that can verify a signature. It ignores keys that it does
// not understand, as RFC 7517 section 5 recommends. It also ignores symmetric and private keys,
// which an issuer should never publish.
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

// newIssuerClient creates the HTTP client for one issuer. The client bounds the size of each
// document and the number of redirects. It does not follow a redirect to a URL that is not https.
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
				return errors.New("redirected to a URL that is not https")
			}
			return nil
		},
		Timeout: fetchTimeout,
	}
}

// issuerTransport adapts go-oidc's requests. go-oidc reads a body to its end, so issuerTransport
// ends a body that exceeds maxDocumentBytes with an error. go-oidc requests the discovery document
// from the issuer, so issuerTransport sends this request to the discovery URL if the configuration
// has one. go-oidc still checks that the document names the issuer.
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
