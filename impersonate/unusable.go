package impersonate

import (
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"
)

// isUnusable reports whether a user's group is of no use upstream: no header carries it as it is, or it is empty, and nobody
// grants anything to that.
func isUnusable(group string) bool { return group == "" || !intact(group) }

func unusableGroup(group string) error {
	const help = "let the issuer send another group, or edge go on without it (--unusable-groups=drop)"
	if group == "" {
		return &ForbiddenError{ErrValue, `group "" has no name; ` + help}
	}
	return notIntact("group "+quote(group), help)
}

// isControlOrSpace tells what may stand before a group's name and make it unusable.
func isControlOrSpace(r rune) bool { return r <= ' ' || r == '\x7f' }

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
