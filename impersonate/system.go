package impersonate

import (
	"fmt"
	"strings"
)

// systemPrefix begins the user names and groups that are reserved for Kubernetes.
const systemPrefix = "system:"

// checkSystem refuses names and groups that an issuer may not produce, except those in allowed.
// Groups that no header can carry are still in id. For them it ignores the control characters and
// white space in front, which a receiver would cut off.
func checkSystem(id Identity, allowed map[string]bool) error {
	if strings.HasPrefix(id.Name, systemPrefix) && !allowed[id.Name] {
		return &ForbiddenError{ErrSystem, fmt.Sprintf("user name %s begins with %q, which is reserved for Kubernetes itself; "+
			"configure the issuer to send another name or set --oidc-username-prefix", quote(id.Name), systemPrefix)}
	}
	for _, group := range id.Groups {
		if strings.HasPrefix(strings.TrimLeftFunc(group, isControlOrSpace), systemPrefix) && !allowed[group] {
			return &ForbiddenError{ErrSystem, fmt.Sprintf("group %s is under %q, which is reserved for Kubernetes itself; "+
				"configure the issuer to send another group or set --oidc-groups-prefix", quote(group), systemPrefix)}
		}
	}
	return nil
}

// isControlOrSpace reports whether r is a control character or a space, which makes a group
// unusable if it is in front of the group's name.
func isControlOrSpace(r rune) bool { return r <= ' ' || r == '\x7f' }
