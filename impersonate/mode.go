package impersonate

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A mode is one kind of right to impersonate (KEP-5284). Each mode has its own verbs, and covers
// some requests only.
type mode struct {
	name   string // as in the verbs impersonate:<name> and impersonate-on:<name>:<verb>; empty: plain impersonation
	covers func(req *impersonationRequest, requestor Identity) bool
}

// modes are all kinds of right to impersonate, in kube-apiserver's order: the narrowest right is
// first. Plain impersonation, which every version of the API server has, is last.
var modes = [...]mode{
	{"associated-node", func(req *impersonationRequest, requestor Identity) bool {
		node, ok := nodeOf(req)
		bound := requestor.Requestor.GetExtra()[serviceaccount.NodeNameKey]
		return ok && isServiceAccount(requestor.Name) && len(bound) == 1 && bound[0] == node
	}},
	{"arbitrary-node", func(req *impersonationRequest, _ Identity) bool {
		_, ok := nodeOf(req)
		return ok
	}},
	{"serviceaccount", func(req *impersonationRequest, _ Identity) bool { return req.nameOnly() && isServiceAccount(req.name) }},
	{"user-info", func(req *impersonationRequest, _ Identity) bool {
		_, node := nodeName(req.name)
		return !node && !isServiceAccount(req.name)
	}},
	{"", func(*impersonationRequest, Identity) bool { return true }},
}

const (
	associatedNode = 0
	legacy         = len(modes) - 1
)

func (m *mode) constrained() bool { return m.name != "" }

func (m *mode) verb() string {
	if m.constrained() {
		return "impersonate:" + m.name
	}
	return "impersonate"
}

// associatedExtra returns the extras for a review in the mode associated-node, which allows the
// node of the requestor's own service account token. The extras contain only the keys of the
// requestor's extras, so that one answer counts for the same service account on all nodes. No
// review needs the node's name: the mode's function covers has already compared the requested node
// with the requestor's node.
func associatedExtra(u user.Info) map[string][]string {
	return map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.GetExtra()))}
}

// nodeOf returns the node whose user name a client asks to impersonate. ok is false if the client
// asks for another kind of user, or also for a group, UID or extra.
func nodeOf(req *impersonationRequest) (string, bool) {
	name, ok := nodeName(req.name)
	return name, ok && req.nameOnly()
}

func nodeName(username string) (string, bool) {
	name, ok := strings.CutPrefix(username, "system:node:")
	return name, ok && len(validation.NameIsDNSSubdomain(name, false)) == 0
}

func isServiceAccount(username string) bool {
	_, _, err := serviceaccount.SplitUsername(username)
	return err == nil
}
