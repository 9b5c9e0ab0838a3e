package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestImpersonation checks that each value of an impersonation is reviewed, that the target becomes
// the identity upstream, and that extras of this identity name the requestor.
func TestImpersonation(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.serve()
	got := e.upstreamOf(b.token(nil), "/api/v1/namespaces/a/pods",
		"Impersonate-User", "system:serviceaccount:team:robot", "Impersonate-Group", "qa", "Impersonate-Uid", "7", "Impersonate-Extra-Scopes", "view")
	for header, want := range map[string]string{
		"Authorization": "Bearer of-edge", "Impersonate-User": "system:serviceaccount:team:robot", "Impersonate-Group": "qa",
		"Impersonate-Uid": "7", "Impersonate-Extra-Scopes": "view",
		"Impersonate-Extra-Originaluser.jetstack.io-User": "jane", "Impersonate-Extra-Originaluser.jetstack.io-Groups": "dev",
	} {
		if strings.Join(got[header], "|") != want {
			t.Errorf("%s is %q, want %q", header, got[header], want)
		}
	}
	_, bodies := b.requests("/apis/authorization.k8s.io/v1/subjectaccessreviews")
	asked := strings.Join(bodies, "\n")
	for _, want := range []string{
		`"resource":"serviceaccounts","name":"robot"`, `"resource":"groups","name":"qa"`, `"resource":"uids","name":"7"`,
		`"resource":"userextras","subresource":"scopes","name":"view"`,
	} {
		if !strings.Contains(asked, want) {
			t.Errorf("not asked: %s\n%s", want, asked)
		}
	}
	if len(bodies) != 4 || strings.Count(asked, `"user":"jane"`) != 4 {
		t.Errorf("%d reviews:\n%s", len(bodies), asked)
	}

	for header, want := range map[string]int{"Impersonate-Group": 400, "Impersonate-Uid": 400, "Impersonate-Extra-A": 400, "Impersonate-Foo": 400, "Impersonate_user": 400} {
		if resp, body := e.ask(b.token(nil), "/api", header, "x"); resp.StatusCode != want || !strings.Contains(body, `"kind":"Status"`) {
			t.Errorf("%s: %s %s", header, resp.Status, body)
		}
	}
}

// TestImpersonationForbidden checks that edge refuses an impersonation that the API server denies
// in a review, and sends nothing upstream.
func TestImpersonationForbidden(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.serve()
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/subjectaccessreviews") {
			w.Write([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":false}}`))
		}
	}
	resp, body := e.ask(b.token(nil), "/api", "Impersonate-User", "bob")
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "is not allowed to impersonate user 'bob'") {
		t.Error(resp.Status, body)
	}
	if seen, _ := b.requests("/api"); len(seen) != 0 {
		t.Error("it went upstream")
	}
}

// TestQueryOfAnImpersonationIsNotLogged checks that a query that is not valid ListOptions is not
// logged when edge prepares an access review.
func TestQueryOfAnImpersonationIsNotLogged(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.serve()
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			w.Write([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`))
		case r.URL.Path == "/version": // this answer means that the API server offers constrained impersonation (KEP-5284)
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte("requested nobody without impersonating a user name"))
		}
	}
	e.ask(b.token(nil), "/api/v1/pods?limit=abc&note=canary", "Impersonate-User", "bob")
	if _, bodies := b.requests("/apis/authorization.k8s.io/v1/subjectaccessreviews"); !strings.Contains(strings.Join(bodies, ""), "impersonate-on:user-info:list") {
		t.Fatal("the attributes were not asked about")
	}
	e.stop()
	if strings.Contains(e.log.String(), "canary") {
		t.Error(e.log)
	}
}
