package impersonate

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
)

type exception struct {
	name string
	code int32
	is   func(*arrival) bool
}

// exceptions are the only kinds of requests that edge decides differently from the API server. edge
// refuses them with the given code and sends no review.
var exceptions = []exception{
	{"a requestor under system: whom --allow-system-identities does not name", 403, func(a *arrival) bool {
		under := func(name string) bool { return strings.HasPrefix(name, "system:") }
		return !a.named && (under(a.requestor.Name) || slices.ContainsFunc(a.requestor.Groups, under))
	}},
	{"a requestor whose name is no header value", 403, func(a *arrival) bool { return strings.HasSuffix(a.requestor.Name, "\n") }},
	{"a header that begins with Impersonate and is none", 400, func(a *arrival) bool {
		for name := range a.header {
			if strings.HasPrefix(strings.ToLower(name), "impersonate") && name != "Impersonate-User" && name != "Impersonate-Uid" &&
				name != "Impersonate-Group" && !strings.HasPrefix(name, "Impersonate-Extra-") {
				return true
			}
		}
		return false
	}},
	{"two different names or uids", 400, func(a *arrival) bool {
		return len(sets.New(a.header["Impersonate-User"]...)) > 1 || len(sets.New(a.header["Impersonate-Uid"]...)) > 1
	}},
	{"a value that is not UTF-8", 400, func(a *arrival) bool { return !utf8.ValidString(strings.Join(a.header["Impersonate-Group"], "")) }},
	{"an extra key that edge cannot send on", 400, func(a *arrival) bool {
		return has(a, "Impersonate-Extra-", "Impersonate-Extra-%41b", "Impersonate-Extra-%ff")
	}},
	{"more values than edge asks for", 400, func(a *arrival) bool {
		return len(a.header["Impersonate-Group"]) > maxRequestedValues-20 && overLimit(a)
	}},
	{"a forged record of who impersonates", 403, func(a *arrival) bool {
		return a.header.Get("Impersonate-User") != "" &&
			has(a, "Impersonate-Extra-Originaluser.jetstack.io-User", "Impersonate-Extra-Originaluser.jetstack.io%2duser")
	}},
}

// specialOf returns the index of the exception that the request in a belongs to, or -1. An
// exception is a kind of request that edge deliberately refuses.
func specialOf(a *arrival) int {
	return slices.IndexFunc(exceptions, func(e exception) bool { return e.is(a) })
}

func has(a *arrival, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, ok := a.header[name]; return ok })
}

func overLimit(a *arrival) bool {
	n := 0
	for name, lines := range a.header {
		if name == "Impersonate-Group" || strings.HasPrefix(name, "Impersonate-Extra-") {
			n += len(lines)
		}
	}
	return n > maxRequestedValues
}

// TestReviewDifferential (row ReviewDifferential of the attack corpus in docs/security.md) checks
// that edge decides as the API server's two impersonation filters do, plain and constrained, with
// the same message. If they allow a request, the API server behind edge sees the same user, and
// edge has sent the same reviews.
//
// A mode is one kind of right to impersonate. If a mode allowed the request, edge's reviews in that
// mode must be exactly the same. In the constrained modes that were refused before, edge must have
// sent all reviews of the filter. It may have sent more, because it sends several at a time, while
// the filter stops at the first refusal. Reviews of extras in refused modes are not compared,
// because the filter sends them in the random order of a map. Both must also have asked whether the
// same modes are allowed.
func TestReviewDifferential(t *testing.T) {
	cases := 10_000
	if testing.Short() {
		cases = 2_000
	}
	const seed = 2026
	t.Logf("seed %d", seed)
	defer klog.CaptureState().Restore() // the next line silences klog, because the API server's code logs every invalid selector
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	random := generator{rand.New(rand.NewPCG(seed, 5))}
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	seen, excepted := map[string]int{}, map[string]int{}
	for range cases {
		a := &arrival{requestor: random.requestor(), header: random.header(), request: random.request(), named: !random.one(20)}
		a.info = must(infos.NewRequestInfo(a.request))
		rules := random.rules()
		special := specialOf(a)
		if special >= 0 {
			excepted[exceptions[special].name]++
		}
		for name, through := range map[string]filter{"plain": plainFilter, "constrained": constrainedFilter} {
			edge := &cluster{rules: rules}
			id, err := a.atEdge(newPolicy(t, NewReviewer(edge), name == "constrained"))
			code := codeOf(err)
			if special >= 0 {
				if code != exceptions[special].code || len(edge.asked) != 0 {
					t.Fatalf("%s: %s: %d %v, after %d reviews:\n%v", name, exceptions[special].name, code, err, len(edge.asked), a)
				}
				continue
			}
			var who user.Info
			oracle := &cluster{rules: rules}
			requestor := authenticated(a.requestor)
			status := a.at(through(tell(&who), oracle), &who, requestor)
			outcome := fmt.Sprint(name, " ", status.Code)
			if status.Code == http.StatusOK && who == requestor {
				outcome = name + " no impersonation"
			}
			seen[outcome]++
			switch {
			case code != status.Code || (who != nil && who != requestor) != id.Nested:
				t.Fatalf("%s: the API server says %d %s, edge %d %v:\n%v\n%+v", name, status.Code, status.Message, code, err, a, rules)
			case id.Nested:
				checkSameUser(t, a, id, who)
				mode := checkSameReviews(t, a, oracle, edge, true)
				seen[name+" in mode "+mode]++
			case code == http.StatusForbidden:
				checkSameReviews(t, a, oracle, edge, false)
				checkSameWords(t, a, err, status.Message)
			case code == http.StatusOK && !reflect.DeepEqual(id, identityOf(a.requestor)):
				t.Fatalf("without an impersonation: %+v", id)
			}
		}
	}
	t.Logf("%v\nexceptions: %v", seen, excepted)
	for outcome, least := range map[string]int{
		"plain 200": cases / 5, "plain 403": cases / 5, "plain 400": cases / 100, "plain no impersonation": cases / 100,
		"constrained 200": cases / 5, "constrained 403": cases / 5, "constrained 400": cases / 100, "constrained no impersonation": cases / 100,
		"constrained in mode associated-node": cases / 200, "constrained in mode arbitrary-node": cases / 200,
		"constrained in mode serviceaccount": cases / 200, "constrained in mode user-info": cases / 20, "constrained in mode ": cases / 20,
	} {
		if seen[outcome] < least {
			t.Errorf("%q came only %d times", outcome, seen[outcome])
		}
	}
	all := 0
	for _, e := range exceptions {
		if n := excepted[e.name]; n < 3 || n > cases/20 {
			t.Errorf("exception %q: %d times", e.name, n)
		}
		all += excepted[e.name]
	}
	if all > cases/8 {
		t.Errorf("%d exceptions", all)
	}
}

// checkSameUser sends the identity to an API server on which edge has the right to impersonate
// everyone (the plain verb impersonate). It compares the user whom that API server sees with want.
func checkSameUser(t *testing.T, a *arrival, id Identity, want user.Info) {
	t.Helper()
	upstream := arrival{header: http.Header{}, request: a.request, info: a.info}
	if err := Rewrite(upstream.header, id); err != nil {
		t.Fatalf("%v\n%v", err, a)
	}
	var got user.Info
	upstream.at(plainFilter(tell(&got), authorizerfactory.NewAlwaysAllowAuthorizer()), &got, &user.DefaultInfo{Name: "edge"})
	if got == nil {
		t.Fatalf("the API server does not take %+v", id)
	}
	extra, record := map[string][]string{}, map[string][]string{}
	for key, values := range got.GetExtra() {
		if strings.HasPrefix(key, "originaluser.jetstack.io-") {
			record[key] = values
		} else {
			extra[key] = values
		}
	}
	// If two headers give the same extra key, the API server's filters join the values in the order
	// of a map, which is random.
	ordered := func(extra map[string][]string) map[string][]string {
		sorted := map[string][]string{}
		for key, values := range extra {
			sorted[key] = slices.Sorted(slices.Values(values))
		}
		return sorted
	}
	if got.GetName() != want.GetName() || got.GetUID() != want.GetUID() || !slices.Equal(got.GetGroups(), want.GetGroups()) ||
		!reflect.DeepEqual(ordered(extra), ordered(want.GetExtra())) {
		t.Fatalf("behind edge it is %+v, without it %+v\n%v", got, want, a)
	}
	if id.Requestor != user.Info(a.requestor) || !slices.Equal(record["originaluser.jetstack.io-user"], []string{a.requestor.Name}) ||
		!slices.Equal(record["originaluser.jetstack.io-groups"], a.requestor.Groups) {
		t.Fatalf("the record of %+v is %q", a.requestor, record)
	}
}

// modeOf returns the mode (the kind of right to impersonate) that a review asks for. gate is true
// for the verb impersonate-on:<mode>:<verb>, which asks whether the requestor may use the mode for
// what the request does.
func modeOf(spec authorizationv1.SubjectAccessReviewSpec) (mode string, gate bool) {
	var verb string
	if spec.ResourceAttributes != nil {
		verb = spec.ResourceAttributes.Verb
	} else {
		verb = spec.NonResourceAttributes.Verb
	}
	if on, ok := strings.CutPrefix(verb, "impersonate-on:"); ok {
		mode, _, _ = strings.Cut(on, ":")
		return mode, true
	}
	return strings.TrimPrefix(strings.TrimPrefix(verb, "impersonate"), ":"), false
}

// checkSameReviews compares the reviews that edge and the API server sent. It returns the mode (the
// kind of right to impersonate) that allowed the request: the last reviewed one in the order of
// modes.
func checkSameReviews(t *testing.T, a *arrival, oracle, edge *cluster, allowed bool) string {
	t.Helper()
	decided := -1
	for _, spec := range oracle.asked {
		name, _ := modeOf(spec)
		decided = max(decided, slices.IndexFunc(modes[:], func(m mode) bool { return m.name == name }))
	}
	if !allowed {
		decided = -1
	}
	want := maps.Clone(oracle.asked)
	maps.DeleteFunc(want, func(_ string, spec authorizationv1.SubjectAccessReviewSpec) bool {
		mode, _ := modeOf(spec)
		attrs := spec.ResourceAttributes
		return attrs != nil && attrs.Resource == "userextras" && (decided < 0 || mode != modes[decided].name)
	})
	for key := range want {
		if _, ok := edge.asked[key]; !ok {
			t.Fatalf("edge did not ask %s\n%v", key, a)
		}
	}
	for key, spec := range edge.asked {
		mode, gate := modeOf(spec)
		if _, ok := oracle.asked[key]; !ok && (gate || decided >= 0 && mode == modes[decided].name) {
			t.Fatalf("only edge asked %s\n%v", key, a)
		}
	}
	if decided < 0 {
		return ""
	}
	return modes[decided].name
}

// checkSameWords compares edge's message with the API server's message, unless the message depends
// on the random order of a map.
func checkSameWords(t *testing.T, a *arrival, err error, want string) {
	t.Helper()
	extras := 0
	for header, lines := range a.header {
		if strings.HasPrefix(header, "Impersonate-Extra-") {
			extras += len(lines)
		}
	}
	if extras > 1 {
		return
	}
	var refused *ForbiddenError
	if !errors.As(err, &refused) || !strings.HasSuffix(refused.Message, ": "+want) ||
		!strings.Contains(refused.Message, " is not allowed to impersonate ") {
		t.Fatalf("\n got %v\nwant %s", err, want)
	}
}
