package impersonate

import (
	"fmt"
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"
)

// Identity is the user for whom edge sends a request to the API server. [Policy.Identity],
// [TokenPassthrough] and [EdgeItself] make identities. After that, an identity does not change.
type Identity struct {
	Name   string
	UID    string
	Groups []string // does not contain system:authenticated, which the API server adds
	Extra  map[string][]string

	// Requestor is the authenticated user, for the log. Nil: no user authenticated.
	Requestor user.Info
	// Bearer is true if a bearer token authenticated the request. A browser adds no bearer token by
	// itself. Otherwise the credential is ambient (a client certificate, a cookie, or none), and a
	// page of another site may have caused its visitor's browser to send the request.
	Bearer bool
	// Nested is true if the client's request impersonates: the requestor is another user than the
	// one for whom edge sends the request.
	Nested bool
	// Dropped are the requestor's groups that edge has removed, because they are unusable: see
	// [PolicyConfig].DropUnusable. Requestor does not contain them any more.
	Dropped []string

	edgeItself    bool
	senderToken   string      // the requestor's bearer token that edge sends upstream; empty: edge impersonates
	senderHeaders http.Header // the requestor's Impersonate-* headers that edge sends upstream with senderToken
}

// EdgeItself returns the identity of edge itself: edge sends the request upstream without
// impersonating anyone, with the rights of edge's own credential. Only the command "edge connect"
// may use EdgeItself: it runs on a user's machine, and its own credential is that user's. The API
// server decides whom the request may impersonate.
func EdgeItself() Identity { return Identity{edgeItself: true} }

// IsEdgeItself reports whether the identity comes from [EdgeItself].
func (id Identity) IsEdgeItself() bool { return id.edgeItself }

// TokenPassthrough returns the identity of a request's sender, whom edge does not impersonate. edge
// sends the request upstream with the sender's bearer token instead of edge's credential, and with
// the sender's Impersonate-* headers in h. The API server decides whose token it is, and whom its
// user may impersonate.
func TokenPassthrough(token string, u user.Info, h http.Header) Identity {
	return Identity{
		Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra(), Requestor: u, Bearer: true,
		senderToken: token, senderHeaders: impersonateHeaders(h),
	}
}

// IsTokenPassthrough reports whether the identity comes from [TokenPassthrough].
func (id Identity) IsTokenPassthrough() bool { return id.senderToken != "" }

// identityOf returns the identity of an authenticated user. It leaves out the credential ID, an
// extra for edge's own audit log. The identity is not checked yet, and shares the user's slices.
func identityOf(u user.Info) Identity {
	return Identity{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: withoutCredential(u.GetExtra()), Requestor: u}
}

// check returns an error if a part of the identity would not arrive upstream unchanged.
func (id *Identity) check() error {
	if n := slices.IndexFunc(id.Groups, func(group string) bool { return !intact(group) }); n >= 0 {
		return unusableGroup(id.Groups[n])
	}
	return id.checkApartFromGroups()
}

func (id *Identity) checkApartFromGroups() error {
	if id.Name == "" {
		return &ForbiddenError{ErrNoName, "Username claim not available in OIDC Issuer response"}
	}
	if !intact(id.Name) {
		return notIntact("user name "+quote(id.Name), "configure the issuer to send another name")
	}
	if !intact(id.UID) {
		return notIntact("uid", "configure the issuer to send another one")
	}
	for key, values := range id.Extra {
		if !arrives(key) {
			return &ForbiddenError{ErrValue, fmt.Sprintf("extra key %s would reach the API server as another key; "+
				"it must be lower case", quote(key))}
		}
		for _, value := range values {
			if !intact(value) {
				return notIntact("extra value of key "+quote(key), "configure the issuer to send another one")
			}
		}
	}
	return nil
}

// dropUnusable removes the unusable groups from the identity and from its requestor, so that
// reviews and records do not contain them. Several requests share the requestor, so dropUnusable
// does not change the user.Info and makes a copy.
func (id *Identity) dropUnusable() {
	all := id.Groups
	id.Groups = make([]string, 0, len(all))
	for _, group := range all {
		if isUnusable(group) {
			id.Dropped = append(id.Dropped, group)
		} else {
			id.Groups = append(id.Groups, group)
		}
	}
	id.Groups = slices.Clip(id.Groups)
	u := id.Requestor
	id.Requestor = &user.DefaultInfo{Name: u.GetName(), UID: u.GetUID(), Groups: id.Groups, Extra: u.GetExtra()}
}
