package impersonate

import (
	"fmt"
	"strings"
)

// systemPrefix begins the names and groups that Kubernetes keeps for itself.
const systemPrefix = "system:"

// checkSystem refuses what an issuer may not mint, except what is allowed by its whole name. A group that no header can carry is
// not yet gone: one of Kubernetes' own shows behind what the receiver would cut off, too.
func checkSystem(id Identity, allowed map[string]bool) error {
	if strings.HasPrefix(id.Name, systemPrefix) && !allowed[id.Name] {
		return &ForbiddenError{ErrSystem, fmt.Sprintf("user name %s begins with %q, which is reserved for Kubernetes itself; "+
			"let the issuer send another name or set --oidc-username-prefix", quote(id.Name), systemPrefix)}
	}
	for _, group := range id.Groups {
		if strings.HasPrefix(strings.TrimLeftFunc(group, isControlOrSpace), systemPrefix) && !allowed[group] {
			return &ForbiddenError{ErrSystem, fmt.Sprintf("group %s is under %q, which is reserved for Kubernetes itself; "+
				"let the issuer send another group or set --oidc-groups-prefix", quote(group), systemPrefix)}
		}
	}
	return nil
}

// isControlOrSpace tells what may stand before a group's name and make it unusable.
func isControlOrSpace(r rune) bool { return r <= ' ' || r == '\x7f' }
