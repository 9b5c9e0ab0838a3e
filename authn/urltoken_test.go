package authn

import (
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/internal/testkit"
)

// opaqueToken is a token that is not a JWT: edge can find it in a URL only by comparison with the
// token in the request's header.
const opaqueToken = "kanarien+vogel/of~the.API-server_0123456789=="

// escaped percent-encodes each byte of s.
func escaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// TestTokenInURL checks that a request with its own token in its URL is refused, and that the token
// is removed from the URL. The name of the query parameter and the encoding of the token do not
// matter. A part of the token, another token, and a token that is too short to search for are
// ignored.
func TestTokenInURL(t *testing.T) {
	for uri, found := range map[string]bool{
		"/api?continue=" + opaqueToken:                                             true,
		"/api?x=" + url.QueryEscape(opaqueToken):                                   true,
		"/api?x=" + escaped(opaqueToken):                                           true,
		"/api?x=" + url.QueryEscape(escaped(opaqueToken)):                          true,
		"/api?x=" + strings.Replace(url.QueryEscape(opaqueToken), "%2B", "%2b", 1): true,
		"/api?x=%zz" + escaped(opaqueToken):                                        true, // the token after a malformed escape must still be found
		"/api?x=%" + opaqueToken:                                                   true,
		"/api?" + opaqueToken:                                                      true,
		"/api?" + opaqueToken + "=":                                                true,
		"/api?labelSelector=a;b=" + opaqueToken:                                    true,
		"/api?x=Bearer%20" + opaqueToken:                                           true,
		"/api?x=Bearer+" + opaqueToken:                                             true,
		"/api?next=https%3A%2F%2Fapp%2F%3Ftoken%3D" + escaped(opaqueToken):         true,
		"/api/v1/namespaces/a/pods/p/exec?command=curl&command=" + opaqueToken:     true,
		"/api/v1/namespaces/a/services/s/proxy/?id=" + opaqueToken:                 true,
		"/api/" + url.PathEscape(opaqueToken) + "/x":                               true,
		"/api/" + escaped(opaqueToken):                                             true,
		"/api/%25" + strings.ReplaceAll(escaped(opaqueToken)[1:], "%", "%25"):      true, // the token is percent-encoded twice
		"/api?x=" + opaqueToken[1:]:                                                false,
		"/api?x=" + strings.ToUpper(opaqueToken):                                   false,
		"/api?x=another&y=%zz":                                                     false,
		"/api":                                                                     false,
	} {
		for way, r := range map[string]*http.Request{
			"in Authorization":    {Header: http.Header{"Authorization": {"Bearer " + opaqueToken}}},
			"in the subprotocols": {Header: upgradeWith(opaqueToken)},
		} {
			for certified, chain := range map[string]*Chain{"": accepting(opaqueToken), "not accepted": accepting("another")} {
				r := r.Clone(t.Context())
				r.URL = must(url.Parse(uri))
				who, err := chain.Authenticate(r)
				left := r.URL.String() + " " + fmt.Sprint(err)
				switch {
				case certified == "" && found != errors.Is(err, ErrTokenInURL), certified != "" && err == nil:
					t.Errorf("%s %s %s: %+v, %v", uri, way, certified, who, err)
				case err != nil && who != (Result{}):
					t.Errorf("%s %s: refused, and yet %+v", uri, way, who)
				case found && (strings.Contains(left, "vogel") || strings.Contains(left, escaped("vogel"))):
					t.Errorf("%s %s: left %s", uri, way, left)
				case !found && r.URL.String() != must(url.Parse(uri)).String():
					t.Errorf("%s became %s", uri, r.URL)
				}
			}
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/api/janes?janes=janes", nil)
	r.Header.Set("Authorization", "Bearer janes")
	if _, err := NewChain(ChainOptions{Tokens: knownTokens{}}).Authenticate(r); err != nil {
		t.Errorf("a short token: %v", err)
	}
	// The request has no token in its header, so edge does not search for one in the URL.
	r = httptest.NewRequest(http.MethodGet, "/api?x="+opaqueToken, nil)
	if _, err := NewChain(ChainOptions{Tokens: knownTokens{}}).Authenticate(r); !errors.Is(err, ErrNoCredential) {
		t.Errorf("without a credential: %v", err)
	}
}

// TestTokenInURLBesideCertificate checks that a request with its token in the URL is refused even
// if a certificate authenticates it.
func TestTokenInURLBesideCertificate(t *testing.T) {
	root := testkit.NewAuthority(t, "root")
	ca, _ := startClientCA(t, root)
	chain := NewChain(ChainOptions{Tokens: knownTokens{}, ClientCA: ca})
	var err error
	server := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) { _, err = chain.Authenticate(r) })
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api?x="+escaped(opaqueToken), nil))
	req.Header.Set("Authorization", "Bearer "+opaqueToken)
	resp, sendErr := clientOf(t, server, root.Client(t, pkix.Name{CommonName: "jim"}), false).Do(req)
	if sendErr != nil {
		t.Fatal(sendErr)
	}
	resp.Body.Close()
	if !errors.Is(err, ErrTokenInURL) {
		t.Error(err)
	}
}

// upgradeWith returns the headers of a browser's WebSocket handshake that carries the token.
func upgradeWith(token string) http.Header {
	return http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {
		"v4.channel.k8s.io, " + bearerProtocol + base64.RawURLEncoding.EncodeToString([]byte(token)),
	}}
}

// accepting returns a Chain that accepts only one token: the one in the parameter known.
func accepting(known string) *Chain {
	return NewChain(ChainOptions{Tokens: tokensFunc(func(token string) (Verified, error) {
		if token != known {
			return Verified{}, refused(ReasonIssuer, "another issuer's")
		}
		return Verified{User: &user.DefaultInfo{Name: "jane"}}, nil
	})})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzTokenInURL checks that the token is found and removed, however often each of its bytes is
// percent-encoded.
func FuzzTokenInURL(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, "a=b&c=", "&d=%zz")
	f.Add([]byte{}, "", "")
	f.Fuzz(func(t *testing.T, times []byte, before, after string) {
		var b strings.Builder
		for i := range len(opaqueToken) {
			piece := opaqueToken[i : i+1]
			if len(times) > 0 {
				for range int(times[i%len(times)]) % (maxDecodings + 1) {
					piece = "%" + fmt.Sprintf("%02x", piece[0]) + piece[1:]
				}
			}
			b.WriteString(piece)
		}
		u := &url.URL{Path: "/api", RawQuery: before + b.String() + after}
		if strings.HasSuffix(before, "%") || len(before) > 1 && before[len(before)-2] == '%' {
			return // skip: the text before the token ends with an incomplete escape, and the token's first bytes complete it
		}
		if !StripURL(u, opaqueToken) || u.RawQuery != redacted || u.Path != "/api" {
			t.Errorf("%q in %q", opaqueToken, u)
		}
	})
}
