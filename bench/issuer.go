package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Values in the tokens of bench's OIDC issuer. bench starts edge with flags that accept them.
const (
	clientID      = "bench"
	subject       = "bench"
	signingKeyID  = "bench"
	signingBits   = 2048
	tokenLifetime = 12 * time.Hour
)

// issuer is a minimal OpenID provider for edge. It serves a discovery document and one signing key.
type issuer struct {
	url    string
	key    jose.JSONWebKey
	server *http.Server
}

// startIssuer serves the OIDC issuer in bench's own process, on loopback, until close is called.
func startIssuer(p *pki) (*issuer, error) {
	private, err := rsa.GenerateKey(rand.Reader, signingBits)
	if err != nil {
		return nil, fmt.Errorf("bench: generate the issuer's key: %w", err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{p.certificate}})
	if err != nil {
		return nil, fmt.Errorf("bench: start the issuer: %w", err)
	}
	i := &issuer{
		url: "https://" + l.Addr().String(),
		key: jose.JSONWebKey{Key: private, KeyID: signingKeyID, Algorithm: string(jose.RS256), Use: "sig"},
	}
	i.serve(l)
	return i, nil
}

func (i *issuer) serve(l net.Listener) {
	documents := map[string]any{
		"/.well-known/openid-configuration": map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url + "/auth",
			"token_endpoint": i.url + "/token", "response_types_supported": []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(jose.RS256)},
		},
		"/keys": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}},
	}
	mux := http.NewServeMux()
	for path, document := range documents {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document)
		})
	}
	i.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() { _ = i.server.Serve(l) }()
}

// token returns an ID token that is valid longer than any measurement takes.
func (i *issuer) token() (string, error) { return i.tokenOf(subject) }

// tokens returns ID tokens of n different users.
func (i *issuer) tokens(n int) ([]string, error) {
	all := make([]string, n)
	for user := range all {
		var err error
		if all[user], err = i.tokenOf(subject + strconv.Itoa(user)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (i *issuer) tokenOf(subject string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("bench: create a signer: %w", err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.url, Subject: subject, Audience: jwt.Audience{clientID},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenLifetime)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("bench: sign a token: %w", err)
	}
	return token, nil
}

func (i *issuer) close() { _ = i.server.Close() }
