package impersonate

// isUnusable reports whether the API server cannot use a user's group: no header can carry the
// group unchanged, or the group is empty, and no RBAC rule is for an empty group.
func isUnusable(group string) bool { return group == "" || !intact(group) }

func unusableGroup(group string) error {
	const help = "configure the issuer to send another group, or set --unusable-groups=drop to continue without it"
	if group == "" {
		return &ForbiddenError{ErrValue, `group "" is empty; ` + help}
	}
	return notIntact("group "+quote(group), help)
}
