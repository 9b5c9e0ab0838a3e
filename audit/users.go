package audit

import (
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/impersonate"
)

// originalUser is the prefix of the extra keys with which edge sends the requestor upstream when
// the requestor impersonates another user. An event has the requestor as its user instead.
const originalUser = "originaluser.jetstack.io-"

// requestorOf returns the requestor as an API server would record it after authenticating the
// request itself: with the group system:authenticated. It returns nil if nobody was authenticated.
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

// targetOf returns the user that the requestor impersonates, or nil. edge's own impersonation of
// the requestor does not count.
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
