package impersonate

import (
	"encoding/json"
	"maps"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"
)

// recordPrefix begins the extra keys in which a requestor travels behind the one that it impersonates, for the API server's
// audit log; kube-oidc-proxy named them.
const recordPrefix = "originaluser.jetstack.io-"

func isRecord(key string) bool { return strings.HasPrefix(key, recordPrefix) }

func recordForged(key string) error {
	return &ForbiddenError{ErrRecord, "extra key " + escaper.Replace(quote(key)) + " begins with \"" + recordPrefix +
		"\", which is where edge itself says who impersonates"}
}

// addRecord says in extra who impersonates, with the parts that there are.
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

// withoutCredential leaves out the credential's id: it is for edge's own audit log, and to impersonate it would need a right
// that nobody has granted. The map is the user's own where it has none.
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
