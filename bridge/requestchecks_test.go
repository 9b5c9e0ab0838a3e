package bridge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestTokenInURL checks that edge refuses a request with a token in its URL, because logs would
// store the token, and does not forward the request. A value that only resembles a token, or a
// token for an application behind the API server's proxy, must pass.
func TestTokenInURL(t *testing.T) {
	t.Parallel()
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"
	for uri, refused := range map[string]bool{
		"/version?access_token=" + jwt:                                              true,
		"/version?token=" + jwt:                                                     true,
		"/version?limit=1&id_token=" + jwt + "&limit=2":                             true,
		"/version?Authorization=Bearer%20" + jwt:                                    true,
		"/version?authorization=bearer+" + jwt:                                      true,
		"/version?BEARER=" + jwt:                                                    true,
		"/version?acc%65ss_token=%65yJ" + jwt[3:]:                                   true,
		"/version?a=1;token=" + jwt:                                                 true,
		"/version?token=" + strings.TrimSuffix(jwt, "c2lnbmF0dXJl"):                 true, // a JWT without its signature
		"/version?token=" + jwt + ".YQ.YQ":                                          true, // an encrypted token (JWE)
		"/api/v1/namespaces/default/pods/" + jwt:                                    true,
		execPath + "&token=" + jwt:                                                  true,
		"/version?token=abc.def.ghi":                                                false,
		"/version?token=eyJhbGciOiJSUzI1NiJ9":                                       false,
		"/version?continue=" + jwt:                                                  false, // continue is not a token: a client sends it to get the rest of a list
		"/version?q=%zz":                                                            false,
		"/api/v1/namespaces/default/services/web:80/proxy/callback?id_token=" + jwt: false,
		"/api/v1/namespaces/default/pods/web/proxy/" + jwt:                          false,
		"/api/v1/nodes/n1/proxy/stats?token=" + jwt:                                 false,
		execPath + "&command=" + jwt:                                                false,
	} {
		api := &apiServer{rest: func(w http.ResponseWriter, _ *http.Request) {}}
		w := newWorld(t, api.start(t))
		resp, err := w.client(t, true).Get(w.edge.URL + uri)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if seen := len(api.requests()); seen > 0 == refused || refused && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d, and %d requests upstream", uri, resp.StatusCode, seen)
		}
	}
	for _, uri := range []string{ // net/http accepts a raw space in HTTP/2's :path; edge must refuse it, as it could hide a token
		"/version?token=Bearer " + jwt, "/version?token=Bearer%20" + jwt + " ", "/version?a b=c", "/api/v1/namespaces/a b", "/ ", "/version ?a", "/version? " + jwt,
	} {
		api := &apiServer{rest: func(w http.ResponseWriter, _ *http.Request) {}}
		w := newWorld(t, api.start(t))
		for _, method := range []string{"GET", "POST"} {
			r := must(http.NewRequest(method, w.edge.URL, nil))
			r.URL.Opaque = uri // sends the URI unchanged
			resp, err := w.client(t, true).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body := string(must(io.ReadAll(resp.Body)))
			resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"kind":"Status"`) || len(api.requests()) > 0 {
				t.Errorf("%s %s: %s %s, and %d requests upstream", method, uri, resp.Status, body, len(api.requests()))
			}
		}
	}
	api := &apiServer{}
	w := newWorld(t, api.start(t))
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(execPath+"&token="+jwt, "Sec-WebSocket-Protocol: v5.channel.k8s.io")...)
	if resp := c.answer(); resp.StatusCode != http.StatusBadRequest || len(api.requests()) > 0 {
		t.Errorf("WebSocket: %s, and %d requests upstream", resp.Status, len(api.requests()))
	}
}
