package impersonate

import (
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// groupsUpstream returns the groups that the API server sees for a request with this identity's
// headers. They include groups that the API server's impersonation filter adds and that no header
// names. A review with fewer groups would refuse what the request itself is allowed to do.
func (id Identity) groupsUpstream() []string {
	groups := slices.Clip(id.Groups)
	if namespace, _, err := serviceaccount.SplitUsername(id.Name); err == nil && len(groups) == 0 {
		groups = serviceaccount.MakeGroupNames(namespace)
	}
	switch {
	case slices.Contains(groups, user.AllUnauthenticated):
		return groups
	case id.Name == user.Anonymous:
		return append(groups, user.AllUnauthenticated)
	case slices.Contains(groups, user.AllAuthenticated):
		return groups
	}
	return append(groups, user.AllAuthenticated)
}

// Upstream returns the user that an API server makes of this identity's headers.
func (id Identity) Upstream() *user.DefaultInfo {
	extra := make(map[string][]string, len(id.Extra))
	for key, values := range id.Extra {
		if len(values) > 0 {
			extra[key] = values
		}
	}
	return &user.DefaultInfo{Name: id.Name, UID: id.UID, Groups: id.groupsUpstream(), Extra: extra}
}

// extraUpstream returns the identity's extras without the keys that have no values, because no
// header carries such a key.
func (id Identity) extraUpstream() map[string]authorizationv1.ExtraValue {
	var extra map[string]authorizationv1.ExtraValue
	for key, values := range id.Extra {
		if len(values) == 0 {
			continue
		}
		if extra == nil {
			extra = make(map[string]authorizationv1.ExtraValue, len(id.Extra))
		}
		extra[key] = values
	}
	return extra
}
