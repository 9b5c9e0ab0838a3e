package main

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestConnectToken checks that the token of edge connect's listener is a bearer token, which any
// client may send. A request with the token in its URL is refused, because edge would forward the
// URL to the server.
func TestConnectToken(t *testing.T) {
	t.Parallel()
	const token = "the-token-of-this-listener"
	p := &localProxy{users: map[[sha256.Size]byte]string{sha256.Sum256([]byte(token)): "u"}}
	if id, err := identifyCaller(nil); err != nil || !id.IsEdgeItself() || !id.Bearer {
		t.Errorf("%+v, %v", id, err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api?x=%74"+token[1:], nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "a token in a URL") || strings.Contains(r.URL.String(), token[1:]) {
		t.Errorf("in the URL: %d %s, %s", w.Code, w.Body, r.URL)
	}
}
