package impersonate

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Request is what a decision is made from, beside the requestor.
type Request struct {
	// Header is the client's. It is only read.
	Header http.Header
	// Attributes are those of the request as it arrived; their user is not looked at. It is called when they are needed.
	Attributes func() (authorizer.Attributes, error)
	// Stream: the request begins an exec, attach or port-forward, for which constrained impersonation is asked for create as well
	// as for the request's own verb.
	Stream bool
	// ClientIP is the client's address, if it is known.
	ClientIP string
	// Bearer: the requestor was authenticated by a bearer token, see [Identity].
	Bearer bool
	// Anonymous: nobody authenticated, and the requestor is whom edge's own chain takes for nobody.
	Anonymous bool
}

// isNobody tells whether the names under "system:" are those of who comes without a credential, and not an issuer's.
func (r *Request) isNobody(u user.Info) bool {
	groups := u.GetGroups()
	return r.Anonymous && u.GetName() == user.Anonymous && len(groups) == 1 && groups[0] == user.AllUnauthenticated
}
