package impersonate

import (
	"fmt"
	"strings"
)

// systemPrefix is the beginning of the user names and groups that are reserved for Kubernetes.
const systemPrefix = "system:"

// checkSystem refuses an identity with a name or group that begins with "system:", which an issuer
// may not produce, unless allowed contains that name or group. The identity may still contain
// groups that no header can carry. In such a group, checkSystem ignores control characters and
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

// isControlOrSpace reports whether r is a control character or a space. Such a character in front
// of a group's name makes the group unusable.
func isControlOrSpace(r rune) bool { return r <= ' ' || r == '\x7f' }
