package impersonate

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// A mode is one kind of right to impersonate (KEP-5284). It has its own verbs, and covers some
// requests only.
type mode struct {
	name   string // in impersonate:<name> and impersonate-on:<name>:<verb>; "": plain
	covers func(req *impersonationRequest, requestor Identity) bool
}

// modes are in kube-apiserver's order: the narrowest right is first. The plain one, which every
// version has, is last.
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

// associatedExtra returns the extras for a review in the mode associated-node. They contain only
// the keys of the requestor's extras, so that one answer counts for the same service account on all
// nodes. The mode has compared the node itself before.
func associatedExtra(u user.Info) map[string][]string {
	return map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.GetExtra()))}
}

// nodeOf returns the requested node. ok is false if the request asks for anything else or anything
// more.
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
