package issuer

import (
	"crypto/rsa"
	"net/http"
	"sync"
	"time"

	"edge/e2e/testbed/run"
)

// ClientID is the OpenID Connect client whose tokens edge accepts (their "aud").
const ClientID = "edge"

// OtherClientID is another client of the same provider. Edge must not accept its tokens.
const OtherClientID = "another-application"

// User is an account at the identity provider.
type User struct {
	Name     string // value of the claims sub and preferred_username
	Groups   []string
	Claims   map[string]any // more claims for the user's tokens
	Lifetime time.Duration  // lifetime of the user's tokens, in whole seconds; 0: one hour
}

// Users are the accounts that every issuer has.
var Users = []User{
	{Name: "alice", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "bob", Groups: []string{"ops"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "carol", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "two"}},
	{Name: "dave", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}, Lifetime: 10 * time.Second},
}

// Issuer is a running OpenID Connect provider. If it is stopped and started again, its users must
// log in again.
type Issuer struct {
	URL    string
	CA     []byte // PEM
	CAFile string

	dir         string // in the testbed's state folder
	argv        []string
	client      *http.Client
	redirectURI string

	mu      sync.Mutex
	process *run.Process // nil: the provider is stopped
	keys    []signingKey // the published keys in their order; the provider signs with the first
}

// signingKey is a private key of an issuer and its id ("kid").
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}
