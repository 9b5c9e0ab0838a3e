package impersonate

import (
	"encoding/json"
	"maps"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"
)

// recordPrefix is the beginning of the extra keys that contain the requestor of an impersonation,
// for the API server's audit log. kube-oidc-proxy uses the same keys.
const recordPrefix = "originaluser.jetstack.io-"

func isRecord(key string) bool { return strings.HasPrefix(key, recordPrefix) }

func recordForged(key string) error {
	return &ForbiddenError{ErrRecord, "extra key " + escaper.Replace(quote(key)) + " begins with \"" + recordPrefix +
		"\", which is reserved for edge's own record of the requestor"}
}

// addRecord adds the requestor's name to the extras of the impersonated user, and the requestor's
// groups, UID and extras if there are any.
func addRecord(extra map[string][]string, requestor user.Info) error {
	extra[recordPrefix+"user"] = []string{requestor.GetName()}
	if groups := requestor.GetGroups(); len(groups) > 0 {
		extra[recordPrefix+"groups"] = groups
	}
	if uid := requestor.GetUID(); uid != "" {
		extra[recordPrefix+"uid"] = []string{uid}
	}
	if rest := withoutCredential(requestor.GetExtra()); len(rest) > 0 {
		text, err := json.Marshal(rest)
		if err != nil {
			return err
		}
		extra[recordPrefix+"extra"] = []string{string(text)}
	}
	return nil
}

// withoutCredential returns a user's extras without the credential ID. The ID is for edge's own
// audit log. To send it upstream, edge would need a right that clusters do not grant. If extra has
// no credential ID, withoutCredential returns extra itself and not a copy.
func withoutCredential(extra map[string][]string) map[string][]string {
	if _, ok := extra[user.CredentialIDKey]; !ok {
		return extra
	}
	if len(extra) == 1 {
		return nil
	}
	extra = maps.Clone(extra)
	delete(extra, user.CredentialIDKey)
	return extra
}
