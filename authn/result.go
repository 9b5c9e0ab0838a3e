package authn

import (
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

// A Kind is the kind of the credential that authenticated a request. Other credentials of the same
// request do not count.
type Kind int

const (
	Anonymous   Kind = iota // no credential, on a path that needs none
	Certificate             // the client certificate of the TLS connection
	BearerToken             // in Authorization or in a WebSocket subprotocol
)

// Ambient reports whether a browser adds such a credential by itself to every request that a web
// page makes it send.
func (k Kind) Ambient() bool { return k != BearerToken }

// Result is the sender of a request. Requests share User: read it only.
type Result struct {
	User     user.Info
	Kind     Kind
	Expires  time.Time // when the accepted credential expires; zero: unknown
	Token    string    // the bearer token, if it was accepted
	Reviewed bool      // the API server's review accepted Token, and Token goes upstream
}
