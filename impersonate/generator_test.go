package impersonate

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

// generator makes random impersonation requests and random rights. Both use few names, so that
// rights often match requests.
type generator struct{ *rand.Rand }

func pick[T any](r generator, from ...T) T { return from[r.IntN(len(from))] }

func (r generator) one(in int) bool { return r.IntN(in) == 0 }

func (r generator) requestor() *user.DefaultInfo {
	switch r.IntN(8) {
	case 0, 1, 2, 3: // a service account, as the API server's own authenticator would return it
		u := &user.DefaultInfo{
			Name: "system:serviceaccount:ns:agent", UID: "7", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:ns"},
			Extra: map[string][]string{"authentication.kubernetes.io/pod-name": {"web"}},
		}
		if !r.one(3) {
			u.Extra["authentication.kubernetes.io/node-name"] = pick(r, []string{"n1"}, []string{"n1"}, []string{"n1"}, []string{"n2"}, []string{"n1", "n2"})
		}
		return u
	case 4:
		return &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	}
	u := &user.DefaultInfo{Name: pick(r, "alice", "bob", "https://issuer.example#jürgen", `a"b\c`, "<b>"), UID: pick(r, "", "1")}
	for range r.IntN(3) {
		u.Groups = append(u.Groups, pick(r, "dev", "ops", "dev", "system:authenticated"))
	}
	if r.one(2) {
		u.Extra = map[string][]string{"example.com/team": {"blue", ""}, user.CredentialIDKey: {"JTI=1"}}
	}
	if r.one(100) {
		u.Name += "\n"
	}
	return u
}

var (
	requestedUsers = []string{
		"jane", "bob", "jane", "https://issuer.example#käthe", "system:serviceaccount:ns:sa", "system:serviceaccount:other:sa", "system:node:n1",
		"system:node:n2", "system:node:N_1", "system:serviceaccount:ns", "system:serviceaccount:NS:sa", user.Anonymous, "system:kube-scheduler", "<i>&%s",
	}
	requestedGroups = []string{
		"dev", "ops", "dev", "a,b", "x", "y", "z", "system:masters", "system:authenticated", "system:unauthenticated", "system:nodes", "",
		"system:serviceaccounts", "Käufer",
	}
	requestedKeys = []string{
		"scopes", "example.com%2fteam", "example.com%2fteam", "example.com%2Fteam", "EXAMPLE.com%2fteam", "example.com%2fother", "acme.io%2Fk",
		"acme.io%2fk", "k%c3%a4se", "K%C3%84SE", "%25", "%zz", "a%2541",
	}
	requestedKeysEvil = []string{"", "%41b", "%ff", "originaluser.jetstack.io-user", "originaluser.jetstack.io%2duser"}
)

// header returns the Impersonate-* headers of a random request, as the HTTP parser returns them:
// good headers, unusual ones, and rarely malicious ones.
func (r generator) header() http.Header {
	var lines []string
	add := func(name, value string) { lines = append(lines, name+": "+value) }
	spell := func(name string) string {
		return pick(r, name, name, strings.ToLower(name), strings.ToUpper(name))
	}
	simple := r.one(3) // only a name, and no group or extra, as the modes for nodes and service accounts require
	switch {
	case !r.one(12):
		name := pick(r, requestedUsers...)
		if r.one(3) {
			name, simple = pick(r, "system:node:n1", "system:node:n1", "system:serviceaccount:ns:sa"), !r.one(6)
		}
		add(spell("Impersonate-User"), name)
		if r.one(30) {
			add("Impersonate-User", pick(r, name, name, "jane", ""))
		}
	case r.one(4):
		add("Impersonate-User", "")
	case r.one(2):
		simple = true
	}
	if !simple && r.one(4) {
		uid := pick(r, "1", "2", "")
		add(spell("Impersonate-Uid"), uid)
		if r.one(20) {
			add("Impersonate-UID", pick(r, uid, "3"))
		}
	}
	if !simple && r.one(2) {
		for range pick(r, 1, 2, 3, 4, 5, 6) {
			add(spell("Impersonate-Group"), pick(r, requestedGroups[:pick(r, 6, 6, len(requestedGroups))]...))
		}
	}
	if !simple && r.one(3) {
		for range pick(r, 1, 1, 2, 3, 5) {
			add(spell("Impersonate-Extra-")+pick(r, requestedKeys[r.IntN(3):pick(r, 7, len(requestedKeys))]...), pick(r, "v", "w", "v", "", "ä"))
		}
	}
	if r.one(60) {
		add("Impersonate-Extra-"+pick(r, requestedKeysEvil...), "v")
	}
	if r.one(60) {
		add(pick(r, "Impersonate_User", "Impersonate", "impersonate-groups", "Impersonate-Userx", "IMPERSONATED-BY"), "jane")
	}
	if r.one(200) {
		add("Impersonate-Group", "\xff")
	}
	if r.one(300) {
		for n := range maxRequestedValues + r.IntN(2) {
			add("Impersonate-Group", fmt.Sprint("group", n))
		}
	}
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	text := "GET / HTTP/1.1\r\nHost: edge.example\r\nAccept: application/json\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
	return must(http.ReadRequest(bufio.NewReader(strings.NewReader(text)))).Header
}

func (r generator) request() *http.Request {
	path := pick(r,
		"/version", "/healthz/etcd", "/apis/apps/v1", "/api/v1/namespaces", "/api/v1/namespaces/ns/pods", "/api/v1/namespaces/ns/pods/web",
		"/api/v1/namespaces/ns/pods/web/exec", "/apis/apps/v1/namespaces/ns/deployments/d/scale", "/api/v1/nodes/n1/proxy/metrics", "/api/v1/pods",
	)
	query := url.Values{}
	if r.one(4) {
		query.Set("fieldSelector", pick(r, "spec.nodeName=n1", "a!=b,c==d", "metadata.name=web", "=,=", "x"))
	}
	if r.one(4) {
		query.Set("labelSelector", pick(r, "app=web", "a in (b,c),!d,e", "n>1", "(((", "a!=b,c notin (d,e)"))
	}
	if r.one(6) {
		query.Set("watch", "true")
	}
	method := pick(r, http.MethodGet, http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPatch)
	return must(http.NewRequest(method, "https://edge.example"+path+"?"+query.Encode(), nil))
}

// A rule is a right in these tests. A rule allows a review if the review matches each part that the
// rule names, as an RBAC rule does. An empty part matches everything.
type rule struct{ user, verb, resource, name, namespace string }

func (r generator) rules() []rule {
	mode := func() string {
		return pick(r, "", "", "", ":user-info", ":user-info", ":serviceaccount", ":arbitrary-node", ":associated-node", ":associated-node", ":associated-node")
	}
	open := func(mode string) rule {
		return rule{verb: "impersonate-on" + mode + ":" + pick(r, "*", "*", "*", "*", "get", "create"), resource: pick(r, "", "", "", "", "pods")}
	}
	var rules []rule
	// Grant both verbs of a mode (a kind of right to impersonate): impersonate:<mode> and
	// impersonate-on:<mode>. The right impersonate:<mode> is sometimes for one name only.
	for range 1 + r.IntN(4) {
		m := mode()
		rules = append(rules, rule{verb: "impersonate" + m}, open(m))
		if r.one(3) {
			rules[len(rules)-2].name = pick(r, "jane", "dev", "*", "n1")
		}
	}
	for range r.IntN(6) {
		resource := pick(r, "users", "groups", "uids", "serviceaccounts", "nodes", "userextras/scopes", "userextras/example.com/team", "userextras/*", "")
		name := pick(r, "", "", "*", "jane", "dev", "ops", "1", "v", "n1", "sa")
		rules = append(rules, rule{pick(r, "", "", "", "alice"), "impersonate" + mode(), resource, name, pick(r, "", "", "", "ns")})
	}
	for range r.IntN(3) {
		rules = append(rules, open(pick(r, ":user-info", ":serviceaccount", ":arbitrary-node", ":associated-node")))
	}
	if r.one(4) {
		return rules[len(rules)/2:]
	}
	return rules
}

func (rule rule) allows(spec *authorizationv1.SubjectAccessReviewSpec) bool {
	fits := func(want, got string) bool { return want == "" || want == got }
	if !fits(rule.user, spec.User) {
		return false
	}
	verb, anyVerb := strings.CutSuffix(rule.verb, ":*")
	of := func(got string) bool { return fits(rule.verb, got) || anyVerb && strings.HasPrefix(got, verb+":") }
	if path := spec.NonResourceAttributes; path != nil {
		return of(path.Verb) && rule.resource == ""
	}
	a := spec.ResourceAttributes
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	return of(a.Verb) && fits(rule.resource, resource) && fits(rule.name, a.Name) && fits(rule.namespace, a.Namespace)
}

func allows(rules []rule, spec *authorizationv1.SubjectAccessReviewSpec) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.allows(spec) })
}
