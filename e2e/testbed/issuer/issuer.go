package issuer

import (
	"crypto/rsa"
	"net/http"
	"sync"
	"time"

	"edge/e2e/testbed/run"
)

// ClientID is the id of the OpenID Connect client whose tokens edge accepts. Their claim aud
// contains it.
const ClientID = "edge"

// OtherClientID is the id of another OpenID Connect client at the same provider. edge must not
// accept tokens for that client.
const OtherClientID = "another-application"

// User is an account at the identity provider that a test starts.
type User struct {
	Name     string // value of the claims sub and preferred_username in the user's tokens
	Groups   []string
	Claims   map[string]any // additional claims in the user's tokens
	Lifetime time.Duration  // lifetime of the user's tokens, in whole seconds; 0: one hour
}

// Users are the accounts that every identity provider of the testbed has.
var Users = []User{
	{Name: "alice", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "bob", Groups: []string{"ops"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "carol", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "two"}},
	{Name: "dave", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}, Lifetime: 10 * time.Second},
}

// Issuer is a running OpenID Connect provider. After it has been stopped and started again, its
// users must log in again.
type Issuer struct {
	URL    string
	CA     []byte // PEM certificate of the authority that signed the provider's certificate
	CAFile string

	dir         string // folder of the provider in the testbed's state folder
	argv        []string
	client      *http.Client
	redirectURI string

	mu      sync.Mutex
	process *run.Process // process of the provider; nil: the provider is stopped
	// the keys that the provider publishes, in this order; the provider signs with the first key
	keys []signingKey
}

// signingKey is a private key of an issuer and its id ("kid").
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}
