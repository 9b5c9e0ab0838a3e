package authn

import (
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

// A Kind of credential is what authenticated a request, and not what came along beside it.
type Kind int

const (
	Anonymous   Kind = iota // nothing came, and nothing is needed there
	Certificate             // of the client's side of TLS
	BearerToken             // in Authorization, or in a WebSocket subprotocol
)

// Ambient reports whether a browser adds such a credential by itself, to whatever request a page makes it send.
func (k Kind) Ambient() bool { return k != BearerToken }

// Result is who sends a request. User is shared by requests: read it only.
type Result struct {
	User     user.Info
	Kind     Kind
	Expires  time.Time // of what was accepted; zero: not known
	Token    string    // the bearer token, if it was accepted
	Reviewed bool      // it was accepted by the API server's review, and the request goes on under it
}
