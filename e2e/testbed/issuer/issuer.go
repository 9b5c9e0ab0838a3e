package issuer

import (
	"crypto/rsa"
	"net/http"
	"sync"
	"time"

	"edge/e2e/testbed/run"
)

// ClientID is the OpenID Connect client that edge expects tokens for.
const ClientID = "edge"

// OtherClientID is a client of the same provider whose tokens are not for edge.
const OtherClientID = "another-application"

// User is an account at the identity provider.
type User struct {
	Name     string // its sub and preferred_username
	Groups   []string
	Claims   map[string]any // further claims of its tokens
	Lifetime time.Duration  // of its tokens, in whole seconds; zero: an hour
}

// Users have an account at every issuer.
var Users = []User{
	{Name: "alice", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "bob", Groups: []string{"ops"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "carol", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "two"}},
	{Name: "dave", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}, Lifetime: 10 * time.Second},
}

// Issuer is a running OpenID Connect provider. It may be stopped and started again: then its users must log in again.
type Issuer struct {
	URL    string
	CA     []byte // PEM
	CAFile string

	dir         string // below the testbed's folder
	argv        []string
	client      *http.Client
	redirectURI string

	mu      sync.Mutex
	process *run.Process // nil: it is stopped
	keys    []signingKey // published, in this order; the provider signs with the first
}

// signingKey is a key of an issuer under its name.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}
