package audit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"

	"edge/bridge"
	"edge/impersonate"
	"edge/internal/testkit"
)

// memory is an audit backend that stores events in memory. If the field refuse is set, it reports
// that it could not store them.
type memory struct {
	mu     sync.Mutex
	events []*auditinternal.Event
	refuse bool
}

func (m *memory) ProcessEvents(events ...*auditinternal.Event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		m.events = append(m.events, e.DeepCopy())
	}
	return !m.refuse
}

func (m *memory) Run(<-chan struct{}) error { return nil }
func (m *memory) Shutdown()                 {}
func (m *memory) String() string            { return "memory" }

// take returns the events stored so far as JSON, one line each, and deletes them. Values that
// differ between any two requests are removed or replaced.
func (m *memory) take(t *testing.T) []string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, e := range m.events {
		if e.RequestReceivedTimestamp.IsZero() || e.StageTimestamp.IsZero() || e.AuditID == "" {
			t.Errorf("an event without a time or an ID: %+v", e)
		}
		e.RequestReceivedTimestamp, e.StageTimestamp = metav1.MicroTime{}, metav1.MicroTime{}
		if !strings.HasPrefix(string(e.AuditID), "chosen-") {
			e.AuditID = "made"
		}
		e.RequestObject, e.ResponseObject = nil, nil // bodies, which edge's events never have
		lines = append(lines, encodeEvent(t, e))
	}
	m.events = nil
	return lines
}

func encodeEvent(t *testing.T, e *auditinternal.Event) string {
	t.Helper()
	line, err := runtime.Encode(audit.Codecs.LegacyCodec(auditv1.SchemeGroupVersion), e)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(line))
}

// people are the users that authenticate in these tests, by token.
var people = map[string]*user.DefaultInfo{
	"alice": {Name: "alice", UID: "a-1", Groups: []string{"dev", "ops"}, Extra: map[string][]string{
		"example.com/team": {"red", "blue"}, user.CredentialIDKey: {"JTI=7"},
	}},
	"bob":       {Name: "bob"},
	"anonymous": {Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}},
}

func whoSent(r *http.Request) (*user.DefaultInfo, bool) {
	u, ok := people[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	return u, ok
}

// answer is an API server that answers with the status code in the client's X-Answer header.
var answer = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	code := http.StatusOK
	fmt.Sscan(r.Header.Get("X-Answer"), &code)
	w.WriteHeader(code)
	if code != http.StatusNoContent && code != http.StatusNotModified {
		io.WriteString(w, "hello")
	}
})

// kubeChain puts kube-apiserver's own filters before a handler, in the order of kube-apiserver.
func kubeChain(next http.Handler, sink audit.Sink, rules audit.PolicyRuleEvaluator) http.Handler {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	codecs := serializer.NewCodecFactory(scheme)
	// A copy of BasicLongRunningRequestCheck with kube-apiserver's settings: importing the package
	// of this function would link etcd's client.
	longRunning := func(r *http.Request, info *request.RequestInfo) bool {
		return sets.NewString("watch", "proxy").Has(info.Verb) ||
			info.IsResourceRequest && sets.NewString("attach", "exec", "proxy", "log", "portforward").Has(info.Subresource) ||
			!info.IsResourceRequest && strings.HasPrefix(info.Path, "/debug/pprof/")
	}

	// Grant only the permission from before KEP-5284, the verb impersonate. With the permissions of
	// that KEP, an event also records the constraint of the impersonation, which edge never records.
	mayImpersonate := authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if a.GetVerb() == "impersonate" {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})
	h := impersonation.WithConstrainedImpersonation(next, mayImpersonate, codecs)
	h = filters.WithAudit(h, sink, rules, longRunning)
	failed := filters.WithFailedAuthenticationAudit(filters.Unauthorized(codecs), sink, rules)
	authn := group.NewAuthenticatedGroupAdder(authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		u, ok := whoSent(r)
		if !ok {
			return nil, false, nil
		}
		return &authenticator.Response{User: u}, true, nil
	}))
	h = filters.WithAuthentication(h, authn, failed, nil, nil)
	h = filters.WithRequestInfo(h, &request.RequestInfoFactory{
		APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api"),
	})
	return filters.WithAuditInit(h)
}

// identifyPerson returns the identity for the token and the impersonation headers of a request. It
// stands in for the packages authn and impersonate, which a real edge uses.
func identifyPerson(r *http.Request) (impersonate.Identity, error) {
	u, ok := whoSent(r)
	r.Header.Del("Authorization")
	if !ok {
		return impersonate.Identity{}, apierrors.NewUnauthorized("Unauthorized")
	}
	id := impersonate.Identity{Name: u.Name, UID: u.UID, Groups: u.Groups, Requestor: u}
	if as := r.Header.Get("Impersonate-User"); as != "" {
		id = impersonate.Identity{Name: as, Groups: r.Header["Impersonate-Group"], Requestor: u, Nested: true, Extra: map[string][]string{
			"originaluser.jetstack.io-user": {u.Name},
		}}
		if reasons := r.Header["Impersonate-Extra-Reason"]; reasons != nil {
			id.Extra["reason"] = reasons
		}
	}
	return id, nil
}

// newEdge returns a real bridge in front of an API server.
func newEdge(t *testing.T, api *httptest.Server, observe bridge.Observer, change ...func(*bridge.Config)) *bridge.Handler {
	t.Helper()
	cfg := bridge.Config{
		Upstream:       &rest.Config{Host: api.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}},
		Identify:       identifyPerson,
		Review:         func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error { return nil },
		Observe:        observe,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Log:            slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	h, err := bridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// newAPI returns a server that supports HTTP/2, as an API server does.
func newAPI(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	api := httptest.NewUnstartedServer(h)
	api.EnableHTTP2 = true
	testkit.StartTLS(api)
	t.Cleanup(api.Close)
	return api
}

func eventsTo(sink audit.Backend, rules audit.PolicyRuleEvaluator) *Events {
	return &Events{policy: rules, backend: sink, log: slog.New(slog.DiscardHandler)}
}

func rulesOf(t *testing.T, text string) audit.PolicyRuleEvaluator {
	t.Helper()
	p, err := policy.LoadPolicyFromBytes([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	return policy.NewPolicyRuleEvaluator(p)
}

// policies are audit policies that together have at least one rule of each kind.
var policies = map[string]string{
	"everything": `rules: [{level: Metadata}]`,
	"who": `rules:
- {level: None, users: [bob], verbs: [get, list]}
- {level: Request, users: [alice], verbs: [create, deletecollection, watch]}
- {level: Metadata, userGroups: ["system:unauthenticated", "ops"]}
- {level: RequestResponse, userGroups: ["system:authenticated"]}`,
	"resources": `rules:
- {level: None, resources: [{group: "", resources: ["pods/log", "*/status"]}]}
- {level: Request, resources: [{group: "", resources: ["pods"], resourceNames: ["a", "x"]}]}
- {level: RequestResponse, namespaces: ["ns1"], resources: [{group: "", resources: ["pods/*", "namespaces"]}]}
- {level: Metadata, namespaces: [""]}
- {level: Metadata, resources: [{group: "apps"}, {group: "*", resources: ["*"]}]}`,
	"paths": `rules:
- {level: None, nonResourceURLs: ["/healthz*", "/version", "/apis/*"]}
- {level: Metadata, nonResourceURLs: ["*"]}`,
	"stages": `omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: Metadata, verbs: [watch, get], omitStages: [ResponseStarted]}
- {level: Metadata, verbs: [create], omitStages: [ResponseComplete], omitManagedFields: false}
- {level: Metadata}`,
}

const (
	requestsPerPolicy = 600
	fewestCompared    = 50 // with fewer events for a policy, the test proves nothing
)

// TestEventsAreKubeAPIServers checks that edge's events are equal to those of kube-apiserver's own
// filters for the same requests. Only the times, the bodies, and IDs that the client did not choose
// may differ.
func TestEventsAreKubeAPIServers(t *testing.T) {
	upstream := newAPI(t, answer)
	for name, text := range policies {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(5, uint64(len(text))))
			var theirs, ours memory
			api := kubeChain(answer, &theirs, rulesOf(t, text))
			edge := newEdge(t, upstream, eventsTo(&ours, rulesOf(t, text)))
			levels, total := map[string]int{}, 0
			for range requestsPerPolicy {
				send := generate(random)
				api.ServeHTTP(httptest.NewRecorder(), send())
				edge.ServeHTTP(httptest.NewRecorder(), send())
				want, got := theirs.take(t), ours.take(t)
				if strings.Join(got, "\n") != strings.Join(want, "\n") {
					r := send()
					t.Errorf("%s %s %v\nedge: %s\nkube: %s", r.Method, r.RequestURI, r.Header, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
				}
				levels[fmt.Sprint(len(want))]++
				total += len(want)
			}
			if t.Logf("events per request: %v", levels); total < fewestCompared {
				t.Errorf("the policy leaves %d events of %d requests", total, requestsPerPolicy)
			}
		})
	}
}
