package main

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

func TestTokenIsWhatAVerifierAccepts(t *testing.T) {
	p, err := newPKI(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	i, err := startIssuer(p)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	token, err := i.token()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.pool}}
	defer transport.CloseIdleConnections()
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: transport})
	provider, err := oidc.NewProvider(ctx, i.url)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	if verified.Subject != subject {
		t.Errorf("subject %q", verified.Subject)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "another"}).Verify(ctx, token); err == nil {
		t.Error("another audience was accepted")
	}
}
