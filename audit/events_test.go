package audit

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/klog/v2"

	"edge/bridge"
	"edge/impersonate"
)

// canary stands for a secret token: it has the form of a JWT, but its signature is not valid.
const canary = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl-_"

// TestTokenInMessage checks that a token in the message of a Status is not recorded: the message
// may quote what the client sent.
func TestTokenInMessage(t *testing.T) {
	var events memory
	edge := newEdge(t, newAPI(t, answer), eventsTo(&events, rulesOf(t, policies["everything"])), func(cfg *bridge.Config) {
		cfg.Identify = func(*http.Request) (impersonate.Identity, error) {
			return impersonate.Identity{Requestor: &user.DefaultInfo{Name: "alice"}}, apierrors.NewBadRequest("no such user '" + canary + "'")
		}
	})
	edge.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v1/pods", nil))
	if record := strings.Join(events.take(t), "\n"); !strings.Contains(record, "no such user") || strings.Contains(record, canary) {
		t.Errorf("on record: %s", record)
	}
}

// TestTokenCanary checks that a token anywhere in a request is not in the events or in a log. The
// arguments of a command, where tokens are allowed, are not tested here.
func TestTokenCanary(t *testing.T) {
	const listing = "/api/v1/namespaces/a/pods"
	for name, change := range map[string]func(r *http.Request){
		"header":            func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+canary) },
		"user agent":        func(r *http.Request) { r.Header.Set("User-Agent", "curl "+canary) },
		"audit id":          func(r *http.Request) { r.Header.Set("Audit-ID", "chosen-"+canary) },
		"query":             func(r *http.Request) { r.URL.RawQuery = "token=" + canary },
		"query, escaped":    func(r *http.Request) { r.URL.RawQuery = "limit=" + strings.ReplaceAll(canary, ".", "%2E") },
		"query, a name":     func(r *http.Request) { r.URL.RawQuery = canary + "=1" },
		"query, no options": func(r *http.Request) { r.URL.RawQuery = "limit=many&continue=" + canary },
		"query, two":        func(r *http.Request) { r.URL.RawQuery = "command=ls&labelSelector=x" + canary + "," + canary },
		"query, opaque":     func(r *http.Request) { r.URL.RawQuery = "access_token=plain-canary" },
		"name":              func(r *http.Request) { r.URL.Path += "/" + canary },
		"subresource":       func(r *http.Request) { r.URL.Path += "/p/" + canary },
		"namespace":         func(r *http.Request) { r.URL.Path = "/api/v1/namespaces/" + canary + "/pods" },
		"group":             func(r *http.Request) { r.URL.Path = "/apis/" + canary + "/v1/pods" },
		"verb":              func(r *http.Request) { r.Method = canary },
		"other path":        func(r *http.Request) { r.URL.Path = "/x/" + canary },
		"path, escaped": func(r *http.Request) {
			r.URL.Path, r.URL.RawPath = "/x/"+canary, "/x/%65"+canary[1:]
		},
	} {
		var logged, klogged bytes.Buffer
		flag.Set("logtostderr", "false")
		klog.SetOutput(&klogged)
		var events memory
		edge := newEdge(t, newAPI(t, answer), bridge.Observers(
			NewAccessLog(slog.New(slog.NewJSONHandler(&logged, nil))), eventsTo(&events, rulesOf(t, policies["everything"]))))
		r := httptest.NewRequest("GET", listing, nil)
		r.Header.Set("Authorization", "Bearer alice")
		change(r)
		edge.ServeHTTP(httptest.NewRecorder(), r)
		klog.Flush()
		klog.SetOutput(io.Discard)
		record := strings.Join(events.take(t), "\n")
		if record == "" || logged.Len() == 0 {
			t.Errorf("%s: nothing is on record", name)
		}
		for where, text := range map[string]string{"the events": record, "the access log": logged.String(), "the libraries' log": klogged.String()} {
			if strings.Contains(text, "c2lnbmF0dXJl") || strings.Contains(text, "canary") {
				t.Errorf("%s: a token is in %s: %s", name, where, text)
			}
		}
	}
}

// TestCommandIsInTheEvent checks that an event has the arguments of a command as the client sent
// them: the audit policy decides whether they are recorded.
func TestCommandIsInTheEvent(t *testing.T) {
	var events memory
	edge := newEdge(t, newAPI(t, answer), eventsTo(&events, rulesOf(t, `rules:
- {level: None, resources: [{group: "", resources: ["pods/exec"]}], namespaces: [quiet]}
- {level: Metadata}`)))
	send := func(namespace string) []string {
		r := httptest.NewRequest("POST", "/api/v1/namespaces/"+namespace+"/pods/p/exec?command=login&command="+canary+"&stdout=true", nil)
		r.Header.Set("Authorization", "Bearer alice")
		edge.ServeHTTP(httptest.NewRecorder(), r)
		return events.take(t)
	}
	got := send("loud")
	if len(got) != 3 || !strings.Contains(got[0], `/exec?command=login\u0026command=`+canary+`\u0026stdout=true"`) {
		t.Error(got)
	}
	if got := send("quiet"); len(got) != 0 {
		t.Error(got)
	}
}

// TestNoQueryInTheLog checks that package k8s.io/apiserver does not log a query that is not valid
// ListOptions.
func TestNoQueryInTheLog(t *testing.T) {
	var klogged bytes.Buffer
	klog.SetOutput(&klogged)
	defer klog.SetOutput(io.Discard)
	for _, query := range []string{"limit=many", "fieldSelector=bad&watch=true", "labelSelector=((&watch=0"} {
		if a := policyAttributes(httptest.NewRequest("GET", "/api/v1/pods?"+query, nil), nil); (a.Verb == "watch") != strings.Contains(query, "watch=true") {
			t.Errorf("%s: %s", query, a.Verb)
		}
	}
	klog.Flush()
	if klogged.Len() > 0 {
		t.Error(klogged.String())
	}
}

// TestEventsAreBounded checks that an event has a size limit, also where kube-apiserver has none.
func TestEventsAreBounded(t *testing.T) {
	var events memory
	e := eventsTo(&events, rulesOf(t, policies["everything"]))
	long := strings.Repeat("x", 1<<20)
	for _, target := range []string{"/" + long, "/api/v1/namespaces/" + long + "/pods/" + long + "/" + long, "/?" + long, "/?a=" + strings.Repeat("&a=b", 1<<18)} {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Audit-ID", long)
		r.Header.Set("User-Agent", long)
		r.Header.Set("Authorization", "Bearer alice")
		seen := e.Begin(r)
		id, _ := identifyPerson(r)
		seen.Identified(r, id, nil)
		const most = 128 << 10 // maximum size of one event in bytes; JSON encodes "&" as six bytes
		for _, line := range events.take(t) {
			if len(line) > most || !strings.Contains(line, truncated) {
				t.Errorf("%.30s: %d bytes", target, len(line))
			}
		}
	}
}

// TestAuditID checks that edge and the API server record a request under the same ID: the client's
// own if it sent one.
func TestAuditID(t *testing.T) {
	var atEdge, atAPI memory
	api := newAPI(t, kubeChain(answer, &atAPI, rulesOf(t, policies["everything"])))
	edge := newEdge(t, api, eventsTo(&atEdge, rulesOf(t, policies["everything"])))
	for _, chosen := range []string{"", "chosen-1", strings.Repeat("x", 257)} {
		r := httptest.NewRequest("GET", "/api", nil)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Connection", "audit-id") // makes Audit-ID a hop-by-hop header; edge must send its Audit-ID upstream even so
		if chosen != "" {
			r.Header.Set("Audit-ID", chosen)
		}
		w := httptest.NewRecorder()
		edge.ServeHTTP(w, r)
		id := atEdge.events[0].AuditID
		if id == "" || len(id) > 256 || len(chosen) == len("chosen-1") && string(id) != chosen {
			t.Errorf("%.20s became %.300s", chosen, id)
		}
		if len(atAPI.events) == 0 || atAPI.events[0].AuditID != id || w.Header().Get("Audit-ID") != string(id) {
			t.Errorf("edge has %.20s, the client %.20q, the API server %+v", id, w.Header().Get("Audit-ID"), atAPI.events)
		}
		atEdge.take(t)
		atAPI.take(t)
	}
}

// TestNotStored checks that edge refuses a request if the backend cannot store its event, and that
// edge makes no further event for the request.
func TestNotStored(t *testing.T) {
	events := memory{refuse: true}
	edge := newEdge(t, newAPI(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request reached the API server")
	})), bridge.Observers(NewAccessLog(slog.New(slog.DiscardHandler)), eventsTo(&events, rulesOf(t, policies["everything"]))))
	r := httptest.NewRequest("GET", "/api/v1/watch/pods", nil)
	r.Header.Set("Authorization", "Bearer alice")
	w := httptest.NewRecorder()
	edge.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "failed to store audit event") || len(events.take(t)) != 1 {
		t.Error(w.Code, w.Body)
	}
}

// TestRefusedIdentity checks the events of a requestor that authenticated but may not proceed. They
// have the requestor and the refusal, as the events of kube-apiserver's own filters do.
func TestRefusedIdentity(t *testing.T) {
	var events memory
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "users"}, "root", errors.New("no"))
	edge := newEdge(t, newAPI(t, answer), eventsTo(&events, rulesOf(t, policies["everything"])), func(c *bridge.Config) {
		c.Identify = func(*http.Request) (impersonate.Identity, error) {
			return impersonate.Identity{Requestor: people["alice"]}, refusal
		}
	})
	edge.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api", nil))
	events.mu.Lock()
	defer events.mu.Unlock()
	if len(events.events) != 2 {
		t.Fatal(events.events)
	}
	e := events.events[1]
	if s := e.ResponseStatus; e.Stage != auditinternal.StageResponseComplete || e.User.Username != "alice" || e.ImpersonatedUser != nil ||
		s.Code != 403 || s.Reason != "Forbidden" || s.Message != refusal.ErrStatus.Message {
		t.Errorf("%+v %+v", e, s)
	}
}

// TestOddPathsAreOnRecord checks that requests that edge or an API server cannot parse have audit
// events.
func TestOddPathsAreOnRecord(t *testing.T) {
	var events memory
	edge := newEdge(t, newAPI(t, answer), eventsTo(&events, rulesOf(t, policies["everything"])))
	for target, want := range map[string]string{
		"/api/v1/../secrets":              `"code":400`,
		"/api/v1/namespaces/%2e%2e/pods":  `"code":400`,
		"/api/v1/watch":                   `"code":200`, // kube-apiserver would answer 500 and make no event; the test's server answers 200
		"http://elsewhere.example/api/v1": `"requestURI":"/api/v1"`,
		"/x?":                             `"requestURI":"/x?"`,
	} {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Authorization", "Bearer alice")
		edge.ServeHTTP(httptest.NewRecorder(), r)
		if got := events.take(t); len(got) != 2 || !strings.Contains(got[1], want) {
			t.Errorf("%s: %q", target, got)
		}
	}
}

// TestPanicIsOnRecord checks that a request that ends in a panic has the same events as in
// kube-apiserver.
func TestPanicIsOnRecord(t *testing.T) {
	var ours, theirs memory
	rules := rulesOf(t, policies["everything"])
	r := httptest.NewRequest("GET", "/api/v1/pods?watch=true", nil)
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("Audit-ID", "1")
	seen := eventsTo(&ours, rules).Begin(r)
	id, _ := identifyPerson(r)
	seen.Identified(r, id, nil)
	seen.Ended(bridge.End{Cut: true, Panic: "a bug"})

	func() {
		defer func() { recover() }()
		r := httptest.NewRequest("GET", "/api/v1/pods?watch=true", nil)
		r.Header.Set("Authorization", "Bearer alice")
		kubeChain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }), &theirs, rules).ServeHTTP(httptest.NewRecorder(), r)
	}()
	got, want := strings.Join(ours.take(t), "\n"), strings.Join(theirs.take(t), "\n")
	if got != strings.ReplaceAll(want, "APIServer panic'd", "edge panicked") || !strings.Contains(got, "edge panicked: a bug") {
		t.Errorf("%s\n%s", got, want)
	}
}

// TestConnectionClosedEarly checks that the events of a request whose client disconnects before the
// answer begins are kube-apiserver's.
func TestConnectionClosedEarly(t *testing.T) {
	for _, target := range []string{"/api", "/api/v1/pods?watch=true"} {
		var ours, theirs memory
		rules := rulesOf(t, policies["everything"])
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Audit-ID", "1")
		seen := eventsTo(&ours, rules).Begin(r)
		id, _ := identifyPerson(r)
		seen.Identified(r, id, nil)
		seen.Ended(bridge.End{Cut: true})
		r = httptest.NewRequest("GET", target, nil)
		r.Header.Set("Authorization", "Bearer alice")
		kubeChain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), &theirs, rules).ServeHTTP(httptest.NewRecorder(), r)
		if got, want := strings.Join(ours.take(t), "\n"), strings.Join(theirs.take(t), "\n"); got != want {
			t.Errorf("%s\n%s", got, want)
		}
	}
}

// TestNoEvents checks that New returns nil without a policy or a backend, and logs the reason if
// only some of the audit flags are set.
func TestNoEvents(t *testing.T) {
	for flags, want := range map[string]string{
		"": "",
		"--audit-policy-file=testdata/policy.yaml":                          "neither --audit-log-path nor --audit-webhook-config-file",
		"--audit-log-path=/nowhere/audit.log":                               "--audit-policy-file is not set",
		"--audit-webhook-config-file=/nowhere/kubeconfig --audit-log-path=": "--audit-policy-file is not set",
	} {
		var log bytes.Buffer
		e, err := New(parse(t, strings.Fields(flags)...), slog.New(slog.NewTextHandler(&log, nil)))
		if e != nil || err != nil || !strings.Contains(log.String(), want) || (want == "") != (log.Len() == 0) {
			t.Errorf("%s: %v %v %s", flags, e, err, log.String())
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e.Run(ctx)
	}
}

// TestPolicyFile checks that New reports all errors of a policy, with the file, and warns of a
// policy that requires bodies.
func TestPolicyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	open := func(text string) (string, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		_, err := New(parse(t, "--audit-policy-file="+path, "--audit-log-path=-"), slog.New(slog.NewTextHandler(&log, nil)))
		return log.String(), err
	}
	const header = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
	for text, want := range map[string][]string{
		header: {"0 rules"},
		header + "rules: [{level: Some}, {level: Metadata, namespaces: [a], nonResourceURLs: [/x]}, {level: Metadata, omitStages: [Never]}]": {
			"rules[0].level", "rules[1].nonResourceURLs", "rules[2].omitStages"},
		"rules: [{level: Metadata}]": {"unknown group version"},
		"apiVersion: audit.k8s.io/v3\nkind: Policy\nrules: [{level: Metadata}]": {"v3"},
	} {
		_, err := open(text)
		for _, part := range append(want, "--audit-policy-file: ", path) {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v does not say %q", text, err, part)
			}
		}
	}
	for level, warned := range map[string]bool{"None": false, "Metadata": false, "Request": true, "RequestResponse": true} {
		log, err := open(header + "rules: [{level: " + level + "}]")
		if err != nil || strings.Contains(log, "metadata only") != warned {
			t.Errorf("%s: %s %v", level, log, err)
		}
	}
	if _, err := New(parse(t, "--audit-policy-file="+path+".none", "--audit-log-path=-"), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}
