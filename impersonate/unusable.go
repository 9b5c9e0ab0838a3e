package impersonate

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
