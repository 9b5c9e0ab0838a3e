package audit

import (
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/impersonate"
)

// originalUser begins the extra keys in which the requestor of a nested impersonation travels. The event has the requestor
// as its user.
const originalUser = "originaluser.jetstack.io-"

// requestorOf is who sent the request, as an API server that authenticated it would have it: one of all the authenticated.
func requestorOf(id impersonate.Identity) user.Info {
	switch u := id.Requestor; {
	case u == nil:
		return nil
	case u.GetName() == user.Anonymous, slices.Contains(u.GetGroups(), user.AllAuthenticated), slices.Contains(u.GetGroups(), user.AllUnauthenticated):
		return u
	default:
		return &user.DefaultInfo{
			Name: u.GetName(), UID: u.GetUID(), Extra: u.GetExtra(),
			Groups: append(slices.Clip(u.GetGroups()), user.AllAuthenticated),
		}
	}
}

// targetOf is whom the requestor impersonates, or nil: edge's own impersonation of the requestor is none.
func targetOf(id impersonate.Identity) user.Info {
	if !id.Nested {
		return nil
	}
	target := id.Upstream()
	for key := range target.Extra {
		if strings.HasPrefix(key, originalUser) {
			delete(target.Extra, key)
		}
	}
	return target
}
