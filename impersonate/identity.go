package impersonate

import (
	"fmt"
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"
)

// Identity is whom a request is sent as. It is made by [Policy.Identity], [TokenPassthrough] or [EdgeItself] and, once it is
// handed on, not changed.
type Identity struct {
	Name   string
	UID    string
	Groups []string // without system:authenticated, which the API server adds
	Extra  map[string][]string

	// Requestor is who authenticated, for the log; nil where nobody did.
	Requestor user.Info
	// Bearer: a bearer token has authenticated the request, which no browser adds by itself. Otherwise the credential
	// is ambient (a client certificate, a cookie, or none), and a page on another site may have made its visitor's
	// browser send the request.
	Bearer bool
	// Nested: the requestor impersonates somebody else, as whom the request goes upstream.
	Nested bool
	// Dropped are the requestor's groups that went nowhere, see [PolicyConfig].DropUnusable. Requestor has them no more.
	Dropped []string

	edgeItself    bool
	senderToken   string      // the requestor's bearer token, which goes upstream; empty: it does not
	senderHeaders http.Header // the requestor's Impersonate-*, which go with it
}

// EdgeItself is edge itself, unimpersonated: the request goes upstream with the rights of edge's own credential. It is
// for edge connect alone, where that credential is its user's; whom the request asks to impersonate is the API server's
// to allow.
func EdgeItself() Identity { return Identity{edgeItself: true} }

// IsEdgeItself tells whether the identity came from [EdgeItself].
func (id Identity) IsEdgeItself() bool { return id.edgeItself }

// TokenPassthrough is the sender of a request, unimpersonated: the request goes upstream with its sender's bearer token
// in place of edge's credential, and with the Impersonate-* headers that came with it in h. Whom the token stands for,
// and whom it may impersonate, is the API server's to decide.
func TokenPassthrough(token string, u user.Info, h http.Header) Identity {
	return Identity{
		Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra(), Requestor: u, Bearer: true,
		senderToken: token, senderHeaders: impersonateHeaders(h),
	}
}

// IsTokenPassthrough tells whether the identity came from [TokenPassthrough].
func (id Identity) IsTokenPassthrough() bool { return id.senderToken != "" }

// identityOf is an authenticated user, not looked at yet, without the credential's id. It shares the user's slices.
func identityOf(u user.Info) Identity {
	return Identity{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: withoutCredential(u.GetExtra()), Requestor: u}
}

// check refuses what would not arrive as it is.
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
		return notIntact("user name "+quote(id.Name), "let the issuer send another name")
	}
	if !intact(id.UID) {
		return notIntact("uid", "let the issuer send another one")
	}
	for key, values := range id.Extra {
		if !arrives(key) {
			return &ForbiddenError{ErrValue, fmt.Sprintf("extra key %s would reach the API server as another key; "+
				"it must be lower case", quote(key))}
		}
		for _, value := range values {
			if !intact(value) {
				return notIntact("extra value of key "+quote(key), "let the issuer send another one")
			}
		}
	}
	return nil
}

// dropUnusable leaves out the groups that are of no use, also of the requestor, as whom reviews ask and who is on record. The
// user itself is shared, and stays.
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
