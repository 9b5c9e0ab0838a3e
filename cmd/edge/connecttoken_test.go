package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The token that opens edge connect's listener is a bearer token as any: whoever has it may come from anywhere, and it has no place
// in a URL, which goes to the server.
func TestConnectToken(t *testing.T) {
	p := &localProxy{token: "the-token-of-this-listener"}
	ask := func(uri string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, uri, nil)
		r.Header.Set("Authorization", "Bearer "+p.token)
		return r
	}
	if id, err := p.identify(ask("/api?x=a")); err != nil || !id.IsSelf() || !id.Bearer {
		t.Errorf("%+v, %v", id, err)
	}
	r := ask("/api?x=%74" + p.token[1:])
	if _, err := p.identify(r); !apierrors.IsBadRequest(err) || strings.Contains(r.URL.String(), p.token[1:]) {
		t.Errorf("in the URL: %v, %s", err, r.URL)
	}
}
