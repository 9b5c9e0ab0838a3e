package impersonate

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A mode is a way to be allowed to impersonate (KEP-5284): verbs of its own, for some targets only.
type mode struct {
	name   string // of the verbs impersonate:<name> and impersonate-on:<name>:<verb>; "" is plain impersonate
	covers func(req *impersonationRequest, requestor Identity) bool
}

// modes has the narrowest right first, as kube-apiserver does, and the one that every version has last.
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

// associatedExtra is what a review in the first mode is told of a requestor's extras: their keys, so that an answer
// counts for the same account on all nodes. The node itself was compared before.
func associatedExtra(u user.Info) map[string][]string {
	return map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.GetExtra()))}
}

// nodeOf returns the node that is requested, if nothing else is.
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
