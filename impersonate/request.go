package impersonate

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Request is the input of [Policy.Identity], in addition to the requestor.
type Request struct {
	// Header is the client's header. It is not changed.
	Header http.Header
	// Attributes returns the attributes of the request as it arrived from the client.
	// Policy.Identity ignores their user, and calls Attributes only if it needs them.
	Attributes func() (authorizer.Attributes, error)
	// Stream is true if the request begins an exec, attach or port-forward. Constrained
	// impersonation then needs both the right to create and the right for the verb of the request.
	Stream bool
	// ClientIP is the client's IP address. Empty: it is unknown.
	ClientIP string
	// Bearer is true if a bearer token authenticated the requestor, see [Identity].
	Bearer bool
	// Anonymous is true if the request has no credential, and edge's own authn.Chain has made the
	// requestor anonymous.
	Anonymous bool
}

// isNobody reports whether u is the anonymous user that edge itself makes for a request without a
// credential. Its names under "system:" come from no issuer, so they are allowed.
func (r *Request) isNobody(u user.Info) bool {
	groups := u.GetGroups()
	return r.Anonymous && u.GetName() == user.Anonymous && len(groups) == 1 && groups[0] == user.AllUnauthenticated
}
