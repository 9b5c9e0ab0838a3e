package impersonate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// asker gives the configured answer to every question, and stores the reviews.
type asker struct {
	allow bool
	err   error
	mu    sync.Mutex
	asked []authorizationv1.SubjectAccessReviewSpec
}

func (a *asker) Ask(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, spec)
	return a.allow, "", a.err
}

func policy(t testing.TB, c PolicyConfig) *Policy {
	t.Helper()
	p, err := NewPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var janeUser = &user.DefaultInfo{
	Name: "jane", UID: "7", Groups: []string{"dev", "ops"},
	Extra: map[string][]string{"team": {"blue", "<&>"}, user.CredentialIDKey: {"JTI=1"}, "remote-client-ip": {"6.6.6.6"}},
}

// TestIdentityWithoutImpersonation checks that edge sends a request without an impersonation
// upstream for its requestor, with the administrator's extras, and without a review.
func TestIdentityWithoutImpersonation(t *testing.T) {
	ask := new(asker)
	p := policy(t, PolicyConfig{Ask: ask, Extra: map[string][]string{"site": {"berlin", "east"}, "team": {"theirs"}}, ClientIP: true})
	want := Identity{
		Name: "jane", UID: "7", Groups: []string{"dev", "ops"}, Requestor: janeUser,
		Extra: map[string][]string{"team": {"theirs"}, "site": {"berlin", "east"}, "remote-client-ip": {"192.0.2.1"}},
	}
	for _, h := range []http.Header{nil, {"Accept": {"*/*"}}, {"Impersonate-User": {""}}, {"Impersonate-User": nil, "Impersonate-Uid": {""}}} {
		got, err := p.Identity(t.Context(), janeUser, Request{Header: h, ClientIP: "192.0.2.1"})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v\n got %+v\nwant %+v", h, err, got, want)
		}
	}
	delete(want.Extra, "remote-client-ip") // the client's address is unknown, and no other source may set this extra
	if got, err := p.Identity(t.Context(), janeUser, Request{}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %+v", err, got)
	}
	if len(ask.asked) != 0 || len(janeUser.Extra) != 3 {
		t.Error("asked, or the user was changed")
	}
}

// TestIdentityWithImpersonation checks that edge sends an allowed impersonation upstream for the
// requested user, with a record of the requestor.
func TestIdentityWithImpersonation(t *testing.T) {
	ask := &asker{allow: true}
	p := policy(t, PolicyConfig{Ask: ask, Extra: map[string][]string{"site": {"berlin"}}, ClientIP: true})
	got, err := p.Identity(t.Context(), janeUser, Request{ClientIP: "192.0.2.1", Header: http.Header{
		"Impersonate-User": {"bob"}, "Impersonate-Uid": {"8"}, "Impersonate-Group": {"x", "y"},
		"Impersonate-Extra-Scopes": {"a"}, "Impersonate-Extra-Remote-Client-Ip": {"6.6.6.6"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{
		Name: "bob", UID: "8", Groups: []string{"x", "y"}, Requestor: janeUser, Nested: true,
		Extra: map[string][]string{
			"scopes": {"a"}, "site": {"berlin"}, "remote-client-ip": {"192.0.2.1"},
			"originaluser.jetstack.io-user": {"jane"}, "originaluser.jetstack.io-groups": {"dev", "ops"}, "originaluser.jetstack.io-uid": {"7"},
			"originaluser.jetstack.io-extra": {`{"remote-client-ip":["6.6.6.6"],"team":["blue","\u003c\u0026\u003e"]}`},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if len(ask.asked) != 6 {
		t.Errorf("%d reviews", len(ask.asked))
	}
	got, err = p.Identity(t.Context(), &user.DefaultInfo{Name: "jane"}, Request{Header: http.Header{"Impersonate-User": {"bob"}}})
	if want := map[string][]string{"site": {"berlin"}, "originaluser.jetstack.io-user": {"jane"}}; err != nil || !reflect.DeepEqual(got.Extra, want) {
		t.Errorf("the record has more than there is: %v %q", err, got.Extra)
	}
}

// TestIdentityRefusesRequestor (rows SystemIdentity and EmptyIdentity of the attack corpus in
// docs/security.md, for this package) checks that a requestor without a name or with a reserved
// name is refused before any review, with and without an impersonation.
func TestIdentityRefusesRequestor(t *testing.T) {
	nobody := &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	type requestor struct {
		user    *user.DefaultInfo
		r       Request
		refused error
	}
	for name, test := range map[string]requestor{
		"no name":                       {&user.DefaultInfo{Groups: []string{"dev"}}, Request{}, ErrNoName},
		"a name that does not travel":   {&user.DefaultInfo{Name: "jane\nx"}, Request{}, ErrValue},
		"a group that does not travel":  {&user.DefaultInfo{Name: "jane", Groups: []string{" system:masters"}}, Request{}, ErrValue},
		"a system name":                 {&user.DefaultInfo{Name: "system:admin"}, Request{}, ErrSystem},
		"a longer one than allowed":     {&user.DefaultInfo{Name: "system:monitoring2"}, Request{}, ErrSystem},
		"a system group":                {&user.DefaultInfo{Name: "jane", Groups: []string{"dev", "system:masters"}}, Request{}, ErrSystem},
		"allowed":                       {&user.DefaultInfo{Name: "system:monitoring", Groups: []string{"system:nodes"}}, Request{}, nil},
		"anonymous by an issuer":        {nobody, Request{}, ErrSystem},
		"anonymous":                     {nobody, Request{Anonymous: true}, nil},
		"anonymous with another group":  {&user.DefaultInfo{Name: user.Anonymous, Groups: []string{"system:masters"}}, Request{Anonymous: true}, ErrSystem},
		"anonymous with one more group": {&user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated, "system:masters"}}, Request{Anonymous: true}, ErrSystem},
		"anonymous without its group":   {&user.DefaultInfo{Name: user.Anonymous}, Request{Anonymous: true}, ErrSystem},
		"somebody marked anonymous":     {&user.DefaultInfo{Name: "system:admin", Groups: []string{user.AllUnauthenticated}}, Request{Anonymous: true}, ErrSystem},
		"a forged record":               {&user.DefaultInfo{Name: "jane", Extra: map[string][]string{"originaluser.jetstack.io-user": {"bob"}}}, Request{}, ErrRecord},
	} {
		for _, h := range []http.Header{nil, {"Impersonate-User": {"bob"}}} {
			ask := &asker{allow: true}
			p := policy(t, PolicyConfig{Ask: ask, AllowSystem: []string{"system:monitoring", "system:nodes"}})
			test.r.Header = h
			id, err := p.Identity(t.Context(), test.user, test.r)
			if !errors.Is(err, test.refused) || err != nil && (codeOf(err) != 403 || len(ask.asked) != 0 || !reflect.DeepEqual(id, Identity{})) {
				t.Errorf("%s, impersonating %v: %v %+v, %d reviews", name, h != nil, err, id, len(ask.asked))
			}
		}
	}
}

// TestIdentityRefusesHeaders (row ImpersonateNames of the attack corpus in docs/security.md, for
// this package) checks that invalid impersonation headers are answered with 400 before any review.
func TestIdentityRefusesHeaders(t *testing.T) {
	bob := []string{"bob"}
	for _, test := range []struct {
		says string
		h    http.Header
	}{
		{`"Impersonate-Foo"`, http.Header{"Impersonate-Foo": {"x"}}},
		{`"Impersonate_User"`, http.Header{"Impersonate-User": bob, "Impersonate_User": {"x"}}},
		{`"Impersonate"`, http.Header{"Impersonate": {"x"}}},
		{`"Impersonate-Userx"`, http.Header{"Impersonate-Userx": nil}},
		{`"Impersonate-Extra"`, http.Header{"Impersonate-Extra": {"x"}}},
		{`"impersonate-user"`, http.Header{"impersonate-user": {"x"}}},
		{`"IMPERSONATE-GROUP"`, http.Header{"Impersonate-User": bob, "IMPERSONATE-GROUP": {"x"}}},
		{`"Impersonate-\n&lt;b"`, http.Header{"Impersonate-\n<b": {"x"}}},
		{strings.Repeat("a", 80), http.Header{"Impersonate-" + strings.Repeat("a", 1<<20): {"x"}}},
		{"values of Impersonate-User", http.Header{"Impersonate-User": {"bob", "admin"}}},
		{"values of Impersonate-User", http.Header{"Impersonate-User": {"", "admin"}}},
		{"values of Impersonate-Uid", http.Header{"Impersonate-User": bob, "Impersonate-Uid": {"1", ""}}},
		{"without a user", http.Header{"Impersonate-Group": {"x"}}},
		{"without a user", http.Header{"Impersonate-Uid": {"1"}}},
		{"without a user", http.Header{"Impersonate-Extra-Scopes": nil, "Impersonate-User": {""}}},
		{"user name", http.Header{"Impersonate-User": {"bob\n"}}},
		{"group", http.Header{"Impersonate-User": bob, "Impersonate-Group": {"x", " y"}}},
		{"uid", http.Header{"Impersonate-User": bob, "Impersonate-Uid": {"1\x00"}}},
		{"extra value", http.Header{"Impersonate-User": bob, "Impersonate-Extra-Scopes": {"x\xff"}}},
		{`extra key ""`, http.Header{"Impersonate-User": bob, "Impersonate-Extra-": {"x"}}},
		{`extra key "Ab"`, http.Header{"Impersonate-User": bob, "Impersonate-Extra-%41b": {"x"}}},
		{fmt.Sprint(maxRequestedValues+1, " groups and extra"), http.Header{"Impersonate-User": bob, "Impersonate-Group": make([]string, maxRequestedValues-6), "Impersonate-Extra-A": make([]string, 7)}},
	} {
		ask := &asker{allow: true}
		test.h["Accept"], test.h["X-Impersonate-User"] = []string{"*/*"}, []string{"x"}
		id, err := policy(t, PolicyConfig{Ask: ask}).Identity(t.Context(), janeUser, Request{Header: test.h})
		if codeOf(err) != 400 || !strings.Contains(err.Error(), test.says) || len(err.Error()) > 1000 || len(ask.asked) != 0 ||
			!reflect.DeepEqual(id, Identity{}) {
			t.Errorf("%s: %d %v, %d reviews", test.says, codeOf(err), err, len(ask.asked))
		}
	}
	forged := http.Header{"Impersonate-User": {"bob"}, "Impersonate-Extra-Originaluser.jetstack.io-User": {"admin"}}
	if _, err := policy(t, PolicyConfig{Ask: &asker{allow: true}}).Identity(t.Context(), janeUser, Request{Header: forged}); !errors.Is(err, ErrRecord) {
		t.Errorf("a forged record: %v", err)
	}
}

// TestIdentityDenied checks the message of a refused impersonation: it contains the words of the
// API server and of kube-oidc-proxy, is one line, and is bounded, whatever the names are.
func TestIdentityDenied(t *testing.T) {
	says := func(h http.Header) string {
		_, err := policy(t, PolicyConfig{Ask: new(asker)}).Identity(t.Context(), janeUser, Request{Header: h})
		var refused *ForbiddenError
		if !errors.As(err, &refused) || !errors.Is(err, ErrDenied) || refused.Status().Code != 403 || refused.Status().Message != refused.Message {
			t.Fatalf("%q: %v", h, err)
		}
		return refused.Message
	}
	if got, want := says(http.Header{"Impersonate-User": {"bob"}}), `jane is not allowed to impersonate user 'bob': `+
		`users "bob" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	account := says(http.Header{"Impersonate-User": {"system:serviceaccount:ns:sa"}})
	if !strings.Contains(account, `cannot impersonate resource "serviceaccounts" in API group "" in the namespace "ns"`) {
		t.Error(account)
	}
	evil := strings.Repeat("<b>\"'\u2028\u202e", 1<<15)
	for _, h := range []http.Header{
		{"Impersonate-User": {evil}},
		{"Impersonate-User": {"bob"}, "Impersonate-Group": {evil}},
		{"Impersonate-User": {"bob"}, "Impersonate-Uid": {evil}},
		{"Impersonate-User": {"bob"}, "Impersonate-Extra-K": {evil}},
	} {
		p := policy(t, PolicyConfig{Ask: onlyUsers{}})
		if h.Get("Impersonate-User") != "bob" {
			p.ask = new(asker)
		}
		_, err := p.Identity(t.Context(), janeUser, Request{Header: h})
		if !errors.Is(err, ErrDenied) || len(err.Error()) > 20*maxShown || strings.ContainsAny(err.Error(), "\n\u2028\u202e") {
			t.Errorf("%d bytes: %.200v", len(err.Error()), err)
		}
	}
}

// TestIdentityDeniedWhat checks the message of a refusal while the API server offers constrained
// impersonation. The message begins with what plain impersonation does not allow (here a group). It
// ends with the API server's words about the mode (the kind of right to impersonate) that was tried
// first.
func TestIdentityDeniedWhat(t *testing.T) {
	p := policy(t, PolicyConfig{Ask: onlyUsersPlainly{}, Constrained: func(context.Context) bool { return true }})
	attributes := func() (authorizer.Attributes, error) {
		return authorizer.AttributesRecord{Verb: "list", Resource: "pods", ResourceRequest: true}, nil
	}
	h := http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": {"ops"}}
	_, err := p.Identity(t.Context(), janeUser, Request{Header: h, Attributes: attributes})
	if err == nil || !strings.Contains(err.Error(), "jane is not allowed to impersonate group 'ops': ") || !strings.Contains(err.Error(), "impersonate-on:user-info:list") {
		t.Error(err)
	}
}

// TestVerbDrift checks which right impersonate-on a requestor needs for a stream. A stream that
// begins with a GET needs the right for get and the right for create, because edge may begin it
// with a POST upstream. For a request that begins no stream, or that is a POST, the right for its
// own verb is enough.
func TestVerbDrift(t *testing.T) {
	const get, create = "impersonate-on:user-info:get", "impersonate-on:user-info:create"
	for _, test := range []struct {
		verb    string
		stream  bool
		may     []string
		allowed bool
		asks    []string
	}{
		{"get", true, []string{get}, false, []string{get, create}},
		{"get", true, []string{create}, false, []string{get}},
		{"get", true, []string{get, create}, true, []string{get, create}},
		{"get", false, []string{get}, true, []string{get}},
		{"create", true, []string{create}, true, []string{create}},
		{"create", true, []string{get}, false, []string{create}},
	} {
		for _, subresource := range []string{"exec", "attach", "portforward", "proxy"} {
			ask := &verbAsker{may: append(test.may, "impersonate:user-info")}
			p := policy(t, PolicyConfig{Ask: ask, Constrained: func(context.Context) bool { return true }})
			id, err := p.Identity(t.Context(), janeUser, Request{
				Header: http.Header{"Impersonate-User": {"bob"}}, Stream: test.stream, Attributes: func() (authorizer.Attributes, error) {
					return authorizer.AttributesRecord{Verb: test.verb, Resource: "pods", Subresource: subresource, Name: "web", ResourceRequest: true}, nil
				},
			})
			if (err == nil) != test.allowed || id.Nested != test.allowed || err != nil && codeOf(err) != 403 {
				t.Errorf("%+v, %s: %+v, %v", test, subresource, id, err)
			}
			if !slices.Equal(ask.asked, test.asks) {
				t.Errorf("%+v, %s: asked %q", test, subresource, ask.asked)
			}
			if last := test.asks[len(test.asks)-1]; !test.allowed && !strings.Contains(fmt.Sprint(err), last) {
				t.Errorf("%+v, %s: %v does not name %s", test, subresource, err, last)
			}
		}
	}
}

// verbAsker is an Asker that allows some verbs, and stores the impersonate-on verbs for which it
// was asked.
type verbAsker struct{ may, asked []string }

func (a *verbAsker) Ask(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	verb := spec.ResourceAttributes.Verb
	if strings.HasPrefix(verb, "impersonate-on:") {
		a.asked = append(a.asked, verb)
	}
	return slices.Contains(a.may, verb), "", nil
}

type onlyUsersPlainly struct{}

func (onlyUsersPlainly) Ask(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	attrs := spec.ResourceAttributes
	return attrs.Verb == "impersonate" && attrs.Resource == "users", "", nil
}

type onlyUsers struct{}

func (onlyUsers) Ask(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	return spec.ResourceAttributes.Resource == "users", "", nil
}

// TestIdentityNotAnswered checks that a review without an answer is reported as such, and not as a
// refusal.
func TestIdentityNotAnswered(t *testing.T) {
	h := http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": {"a", "b"}}
	for _, constrained := range []bool{false, true} {
		p := policy(t, PolicyConfig{Ask: &asker{err: accessReview.Unavailable(errors.New("x"), "y")}, Constrained: func(context.Context) bool { return constrained }})
		id, err := (&arrival{requestor: janeUser, header: h, info: version}).atEdge(p)
		if codeOf(err) != 503 || !reflect.DeepEqual(id, Identity{}) {
			t.Errorf("%v %+v", err, id)
		}
	}
	p := policy(t, PolicyConfig{Ask: &asker{allow: true}, Constrained: func(context.Context) bool { return true }})
	if _, err := p.Identity(t.Context(), janeUser, Request{Header: h}); err == nil {
		t.Error("without attributes it was not asked whether a mode is open")
	}
	if _, err := policy(t, PolicyConfig{}).Identity(t.Context(), janeUser, Request{Header: h}); codeOf(err) != 500 {
		t.Errorf("without a reviewer: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := policy(t, PolicyConfig{Ask: &asker{allow: true}}).Identity(ended, janeUser, Request{Header: h}); codeOf(err) != 503 {
		t.Errorf("after the end: %v", err)
	}
}

func TestNewPolicyRefuses(t *testing.T) {
	for name, c := range map[string]PolicyConfig{
		"not a system name":  {AllowSystem: []string{"admin"}},
		"all system names":   {AllowSystem: []string{"system:"}},
		"a wildcard":         {AllowSystem: []string{"system:serviceaccount:ns:*"}},
		"white space":        {AllowSystem: []string{"system:x "}},
		"upper case":         {Extra: map[string][]string{"Site": {"x"}}},
		"no key":             {Extra: map[string][]string{"": {"x"}}},
		"a control":          {Extra: map[string][]string{"site": {"x\n"}}},
		"the record":         {Extra: map[string][]string{"originaluser.jetstack.io-user": {"x"}}},
		"the credential":     {Extra: map[string][]string{user.CredentialIDKey: {"x"}}},
		"the client's twice": {Extra: map[string][]string{"remote-client-ip": {"x"}}, ClientIP: true},
	} {
		if _, err := NewPolicy(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestIdentityAllocations checks that Policy.Identity allocates no memory if the request does not
// impersonate and edge adds no extras.
func TestIdentityAllocations(t *testing.T) {
	p, u, r := ordinary(t)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := p.Identity(t.Context(), u, r); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkIdentity(b *testing.B) {
	p, u, r := ordinary(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Identity(b.Context(), u, r); err != nil {
			b.Fatal(err)
		}
	}
}

// ordinary returns a request as kubectl sends it.
func ordinary(t testing.TB) (*Policy, *user.DefaultInfo, Request) {
	u := &user.DefaultInfo{
		Name: "https://issuer.example#jane", Groups: []string{"dev", "ops", "https://issuer.example/groups/1"},
		Extra: map[string][]string{user.CredentialIDKey: {"JTI=1"}},
	}
	return policy(t, PolicyConfig{Ask: new(asker)}), u, Request{Header: http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"kubectl/v1.35.0"}, "Kubectl-Command": {"kubectl get"},
		"Kubectl-Session": {"1"}, "X-Forwarded-For": {"192.0.2.1"},
	}}
}
