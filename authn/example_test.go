package authn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"edge/authn"
)

// Example authenticates requests by the tokens of an issuer. A request to /version needs no
// credential.
func Example() {
	issuer, err := newIssuer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer issuer.close()
	tokens, err := authn.New(authn.Options{Flags: issuer.flags})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { tokens.Run(ctx) }) // fetches the issuer's keys, now and periodically
	defer running.Wait()
	defer cancel()
	for tokens.Ready() != nil { // a readiness probe asks the same
		time.Sleep(10 * time.Millisecond)
	}

	open, err := authn.NewAnonymousPaths([]string{"/version"})
	if err != nil {
		fmt.Println(err)
		return
	}
	chain := authn.NewChain(authn.ChainOptions{Tokens: tokens, AnonymousPaths: open})
	for _, sent := range []struct{ path, credential string }{
		{"/api", "Bearer " + issuer.token("alice", time.Hour)},
		{"/api", "Bearer " + issuer.token("alice", -time.Hour)},
		{"/api", ""},
		{"/version", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, sent.path, nil)
		if sent.credential != "" {
			r.Header.Set("Authorization", sent.credential)
		}
		who, err := chain.Authenticate(r)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(who.User.GetName(), who.User.GetGroups(), r.Header) // the credential is removed
	}
	// Output:
	// oidc:alice [dev] map[]
	// authn: credential refused (expired): exp is in the past or missing
	// authn: no credential
	// system:anonymous [system:unauthenticated] map[]
}

// ExampleAuthenticator_Explain finds everything that is wrong with a token: it has expired, and is
// for another client. Explain fetches the issuer's keys itself, so that nothing else needs to run.
func ExampleAuthenticator_Explain() {
	issuer, err := newIssuer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer issuer.close()
	issuer.flags.ClientID = "another-client"
	tokens, err := authn.New(authn.Options{Flags: issuer.flags})
	if err != nil {
		fmt.Println(err)
		return
	}
	token := issuer.token("alice", -time.Hour)
	why := tokens.Explain(context.Background(), token, authn.ExplainOptions{Fetch: true})
	fmt.Println(why.Outcome, why.Reason, why.User.GetName())
	for _, step := range why.Steps {
		if step.Outcome == authn.OutcomeRefused {
			fmt.Println(step.Name)
		}
	}
	// Output:
	// refused expired oidc:alice
	// expiry
	// audience
}

// ExampleTokenReviewer asks the API server about a token that no issuer knows, such as the token of
// a service account.
func ExampleTokenReviewer() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		json.NewDecoder(r.Body).Decode(&review)
		if review.Spec.Token == "token-of-a-robot" {
			review.Status.Authenticated = true
			review.Status.User.Username = "system:serviceaccount:dev:robot"
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(review)
	}))
	defer api.Close()
	config := &rest.Config{Host: api.URL}
	config.ContentType = "application/json" // the API server of this example reads no protobuf
	client, err := authenticationv1client.NewForConfig(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := authn.New(authn.Options{}) // no issuer
	if err != nil {
		fmt.Println(err)
		return
	}
	reviewer := authn.NewTokenReviewer(client.TokenReviews(), nil, slog.New(slog.DiscardHandler))
	chain := authn.NewChain(authn.ChainOptions{Tokens: tokens, Review: reviewer.Review})

	for _, token := range []string{"token-of-a-robot", "a-guess"} {
		r := httptest.NewRequest(http.MethodGet, "/api", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		who, err := chain.Authenticate(r)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(who.User.GetName(), who.Reviewed)
	}
	// Output:
	// system:serviceaccount:dev:robot true
	// authn: credential refused (malformed): not three parts in base64url; review: the API server does not accept the token
}

func ExampleNew() {
	_, err := authn.New(authn.Options{Flags: authn.Flags{IssuerURL: "http://login.example.com"}})
	fmt.Println(err)
	// Output:
	// --oidc-issuer-url: must be an https URL, not "http://login.example.com"
}

// ExampleCredential finds the token of a browser's WebSocket, which cannot have an Authorization
// header. Strip removes the token, so that it does not go upstream.
func ExampleCredential() {
	r := httptest.NewRequest(http.MethodGet, "/api/v1/namespaces/dev/pods/web/exec", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.ZXlKLi4u")
	token, ok, err := authn.Credential(r)
	authn.Strip(r.Header)
	fmt.Println(token, ok, err)
	fmt.Println(r.Header["Sec-Websocket-Protocol"])
	// Output:
	// eyJ... true <nil>
	// [v5.channel.k8s.io]
}

// issuer is an OpenID Connect issuer, as a test server of go-oidc.
type issuer struct {
	flags authn.Flags
	close func()
	key   *ecdsa.PrivateKey
}

func newIssuer() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuing := &oidctest.Server{
		PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "key-1", Algorithm: oidc.ES256}},
		Algorithms: []string{oidc.ES256},
	}
	server := httptest.NewTLSServer(issuing)
	issuing.SetIssuer(server.URL)
	dir, err := os.MkdirTemp("", "issuer")
	if err != nil {
		server.Close()
		return nil, err
	}
	i := &issuer{key: key, close: func() { server.Close(); os.RemoveAll(dir) }}
	i.flags = authn.Flags{
		IssuerURL:      server.URL,
		CAFile:         filepath.Join(dir, "ca.crt"),
		ClientID:       "edge",
		UsernamePrefix: "oidc:",
		GroupsClaim:    "groups",
		SigningAlgs:    []string{oidc.ES256},
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return i, os.WriteFile(i.flags.CAFile, ca, 0o600)
}

// token returns a token of the user that is valid for a time.
func (i *issuer) token(user string, valid time.Duration) string {
	return oidctest.SignIDToken(i.key, "key-1", oidc.ES256, fmt.Sprintf(`{"iss": %q, "aud": "edge", "sub": %q, "groups": ["dev"], "exp": %d}`,
		i.flags.IssuerURL, user, time.Now().Add(valid).Unix()))
}
