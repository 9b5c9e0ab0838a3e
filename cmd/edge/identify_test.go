package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestImpersonation: --as goes through a review of each value; the target replaces
// the identity, and who asked travels with it.
func TestImpersonation(t *testing.T) {
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

// What the API server forbids, edge does; and nothing goes upstream.
func TestImpersonationForbidden(t *testing.T) {
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

// A query that no API server could read is not written to the log on the way to a review.
func TestQueryOfAnImpersonationIsNotLogged(t *testing.T) {
	b := newBed(t)
	e := b.serve()
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
			w.Write([]byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`))
		case r.URL.Path == "/version": // so that the request's own attributes are asked about
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
