package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/user"
)

func inProtocol(token string) string {
	return "base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(token))
}

// upgrade returns the headers of a browser's WebSocket handshake.
func upgrade(protocols ...string) http.Header {
	return http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": protocols}
}

func with(h http.Header, name string, values ...string) http.Header {
	h[name] = values
	return h
}

func TestCredential(t *testing.T) {
	long := strings.Repeat("a", MaxTokenBytes+1)
	tests := []struct {
		name  string
		h     http.Header
		token string // empty: no token
		why   Reason // reason of the error; empty: no error
	}{
		{"none", http.Header{}, "", ""},
		{"bearer", http.Header{"Authorization": {"Bearer t"}}, "t", ""},
		{"any case", http.Header{"Authorization": {"bEARER t"}}, "t", ""},
		{"space around", http.Header{"Authorization": {" Bearer t "}}, "t", ""},
		{"another scheme", http.Header{"Authorization": {"Basic dTpw"}}, "", ""},
		{"empty", http.Header{"Authorization": {""}}, "", ""},
		{"scheme alone", http.Header{"Authorization": {"Bearer"}}, "", ReasonCredential},
		{"two spaces", http.Header{"Authorization": {"Bearer  t"}}, "", ReasonCredential},
		{"two words", http.Header{"Authorization": {"Bearer t u"}}, "", ReasonCredential},
		{"two lines", http.Header{"Authorization": {"Bearer t", "Bearer t"}}, "", ReasonCredential},
		{"two lines, one of them empty", http.Header{"Authorization": {"Bearer t", ""}}, "", ReasonCredential},
		{"too long", http.Header{"Authorization": {"Bearer " + long}}, "", ReasonTooLarge},
		{"as long as can be", http.Header{"Authorization": {"Bearer " + long[1:]}}, long[1:], ""},

		{"subprotocol", upgrade("v5.channel.k8s.io, " + inProtocol("t")), "t", ""},
		{"subprotocol first", upgrade(inProtocol("t") + ",v5.channel.k8s.io"), "t", ""},
		{"subprotocol on a line of its own", upgrade("v5.channel.k8s.io", inProtocol("t")), "t", ""},
		{"subprotocol, many lines of Connection", with(upgrade("v4.channel.k8s.io,"+inProtocol("t")), "Connection", "close", "upgrade"), "t", ""},
		{"subprotocol, no upgrade", http.Header{"Sec-Websocket-Protocol": {"v4.channel.k8s.io," + inProtocol("t")}}, "", ""},
		{"subprotocol, another upgrade", with(upgrade("v4.channel.k8s.io,"+inProtocol("t")), "Upgrade", "SPDY/3.1"), "", ""},
		{"subprotocol, Connection does not say so", with(upgrade("v4.channel.k8s.io,"+inProtocol("t")), "Connection", "keep-alive"), "", ""},
		{"no subprotocol beside it", upgrade(inProtocol("t")), "", ReasonCredential},
		{"an empty one beside it", upgrade(inProtocol("t") + ", ,"), "", ReasonCredential},
		{"two tokens", upgrade("v4.channel.k8s.io," + inProtocol("t") + "," + inProtocol("t")), "", ReasonCredential},
		{"padded", upgrade("v4.channel.k8s.io,base64url.bearer.authorization.k8s.io.dA=="), "", ReasonCredential},
		{"not base64url", upgrade("v4.channel.k8s.io,base64url.bearer.authorization.k8s.io.a+b/"), "", ReasonCredential},
		{"not UTF-8", upgrade("v4.channel.k8s.io," + inProtocol("\xff\xfe")), "", ReasonCredential},
		{"empty token", upgrade("v4.channel.k8s.io," + inProtocol("")), "", ReasonCredential},
		{"too long a subprotocol", upgrade("v4.channel.k8s.io," + inProtocol(long)), "", ReasonTooLarge},
		{"only real subprotocols", upgrade("v5.channel.k8s.io,v4.channel.k8s.io"), "", ""},

		{"both, the same", with(upgrade("v4.channel.k8s.io,"+inProtocol("t")), "Authorization", "Bearer t"), "t", ""},
		{"both, different", with(upgrade("v4.channel.k8s.io,"+inProtocol("t")), "Authorization", "Bearer u"), "", ReasonCredential},
		{"header beside real subprotocols", with(upgrade("v4.channel.k8s.io"), "Authorization", "Bearer t"), "t", ""},
		{"subprotocol beside another scheme", with(upgrade("v4.channel.k8s.io,"+inProtocol("t")), "Authorization", "Basic dTpw"), "t", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token, ok, err := Credential(&http.Request{Header: test.h})
			wrong := new(RefusedError)
			if errors.As(err, &wrong) != (test.why != "") || wrong.Reason != test.why {
				t.Fatalf("error %v, want reason %q", err, test.why)
			}
			if token != test.token || ok != (test.token != "") {
				t.Errorf("got %.20q %v, want %.20q", token, ok, test.token)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	tests := []struct {
		name     string
		in, want http.Header
	}{
		{"nothing", http.Header{"Accept": {"*/*"}}, http.Header{"Accept": {"*/*"}}},
		{"any Authorization", http.Header{"Authorization": {"Bearer t", "Basic u"}}, http.Header{}},
		{"the token among others", http.Header{"Sec-Websocket-Protocol": {"v5.channel.k8s.io, " + inProtocol("t") + ",v4.channel.k8s.io"}},
			http.Header{"Sec-Websocket-Protocol": {"v5.channel.k8s.io, v4.channel.k8s.io"}}},
		{"many lines become one", http.Header{"Sec-Websocket-Protocol": {"v5.channel.k8s.io", inProtocol("t"), ",v4.channel.k8s.io ,"}},
			http.Header{"Sec-Websocket-Protocol": {"v5.channel.k8s.io, v4.channel.k8s.io"}}},
		{"nothing else", http.Header{"Sec-Websocket-Protocol": {inProtocol("t")}}, http.Header{}},
		{"what was refused goes, too", http.Header{"Sec-Websocket-Protocol": {
			"BASE64URL.bearer.authorization.k8s.io.dA, base64url.bearer.authorization.k8s.io.a+b/, x base64url.bearer.authorization.k8s.io.dA", "v4.channel.k8s.io"}},
			http.Header{"Sec-Websocket-Protocol": {"v4.channel.k8s.io"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			Strip(test.in)
			if !reflect.DeepEqual(test.in, test.want) {
				t.Errorf("got %q, want %q", test.in, test.want)
			}
		})
	}
}

// FuzzCredential checks that Credential never panics. If Credential accepts a token,
// kube-apiserver's authenticators for Authorization and for WebSocket subprotocols must read the
// same token. After Strip, neither Credential nor kube-apiserver may find a token.
func FuzzCredential(f *testing.F) {
	f.Add("Bearer t", "", "v5.channel.k8s.io, "+inProtocol("t"), "")
	f.Add("bearer  t", "Basic x", inProtocol("t"), "v4.channel.k8s.io")
	f.Add("", "", inProtocol("a.b.c")+","+inProtocol("d"), ",")
	f.Add("Bearer a b", "", "base64url.bearer.authorization.k8s.io.", "x")
	f.Fuzz(func(t *testing.T, authorization1, authorization2, protocol1, protocol2 string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = upgrade()
		for _, v := range []string{authorization1, authorization2} {
			if v != "" {
				r.Header.Add("Authorization", v)
			}
		}
		for _, v := range []string{protocol1, protocol2} {
			if v != "" {
				r.Header.Add("Sec-WebSocket-Protocol", v)
			}
		}
		token, ok, err := Credential(r)
		if ok && (err != nil || token == "" || len(token) > MaxTokenBytes) || !ok && token != "" {
			t.Fatalf("%q %v %v", token, ok, err)
		}
		if ok && apiServerReads(r) != token {
			t.Errorf("we read %q, kube-apiserver %q", token, apiServerReads(r))
		}
		Strip(r.Header)
		if again, ok, err := Credential(r); ok || err != nil {
			t.Errorf("after Strip: %q %v", again, err)
		}
		if left := apiServerReads(r); left != "" {
			t.Errorf("after Strip kube-apiserver reads %q", left)
		}
		if lines := r.Header["Sec-Websocket-Protocol"]; len(lines) > 1 {
			t.Errorf("more than one line: %q", lines)
		}
	})
}

// apiServerReads returns the token in a request that kube-apiserver would authenticate.
func apiServerReads(r *http.Request) (token string) {
	r = r.Clone(context.Background())
	see := authenticator.TokenFunc(func(_ context.Context, seen string) (*authenticator.Response, bool, error) {
		token = seen
		return &authenticator.Response{User: &user.DefaultInfo{}}, true, nil
	})
	if _, ok, _ := bearertoken.New(see).AuthenticateRequest(r); !ok {
		_, _, _ = websocket.NewProtocolAuthenticator(see).AuthenticateRequest(r)
	}
	return token
}
