package authn

import (
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

// A Kind is the kind of the credential that authenticated a request. Other credentials of the same
// request do not count.
type Kind int

const (
	Anonymous   Kind = iota // the request has no credential, and its path needs none
	Certificate             // the client certificate of the request's TLS connection
	BearerToken             // the bearer token in Authorization or in a WebSocket subprotocol
)

// Ambient reports whether a browser adds a credential of kind k by itself to every request that a
// web page makes the browser send.
func (k Kind) Ambient() bool { return k != BearerToken }

// Result is the authenticated sender of a request. Several requests share User: read it only.
type Result struct {
	User     user.Info
	Kind     Kind
	Expires  time.Time // when the accepted credential expires; zero: unknown
	Token    string    // the bearer token, if it was accepted
	Reviewed bool      // the API server accepted Token in a TokenReview; edge sends Token upstream

	issuer int // the place of Token's issuer in the configuration, from 1; 0: no issuer accepted it
}
