package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/apis/asn1"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/internal/testkit"
)

func expired(c *x509.Certificate)    { c.NotAfter = time.Now().Add(-time.Minute) }
func notYet(c *x509.Certificate)     { c.NotBefore = time.Now().Add(time.Minute) }
func forServers(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }

// withUIDs adds UIDs to a certificate's subject (KEP-5018).
func withUIDs(subject pkix.Name, uids ...string) pkix.Name {
	for _, uid := range uids {
		subject.ExtraNames = append(subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.X509UID(), Value: uid})
	}
	return subject
}

// knownTokens replaces the Authenticator. It accepts one token, "janes", and allows anonymous
// requests to one path.
type knownTokens struct{}

const openPath = "/healthz"

func (knownTokens) Authenticate(_ context.Context, token string) (Verified, error) {
	if token != "janes" {
		return Verified{}, refused(ReasonIssuer, "another issuer's")
	}
	return Verified{User: &user.DefaultInfo{Name: "jane", Groups: []string{"dev"}}, Expires: time.Unix(1<<40, 0)}, nil
}

func (knownTokens) Anonymous(path string) bool { return path == openPath }

// knownReviews replaces the API server's token review. It accepts one token, "accounts", for a
// service account.
var knownReviews = &tokenReviews{decide: func(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
	if spec.Token != "accounts" {
		return authenticationv1.TokenReviewStatus{Error: "[invalid bearer token]"}
	}
	return yesTo("system:serviceaccount:ns:n")
}}

// apiServersChain returns the same authenticators that kube-apiserver creates for --client-ca-file,
// an issuer, a webhook and anonymous access to openPath
// (pkg/kubeapiserver/authenticator/config.go).
func apiServersChain(t testing.TB, ca *ClientCA) authenticator.Request {
	t.Helper()
	issuer := authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
		verified, err := knownTokens{}.Authenticate(ctx, token)
		return &authenticator.Response{User: verified.User}, err == nil, err
	})
	tokens := tokenunion.New(issuer, apiServersReview(t, knownReviews))
	return union.NewFailOnError(
		union.New(
			requestx509.NewDynamic(ca.Content().VerifyOptions, requestx509.CommonNameUserConversion),
			bearertoken.New(tokens), websocket.NewProtocolAuthenticator(tokens),
		),
		anonymous.NewAuthenticator([]apiserver.AnonymousAuthCondition{{Path: openPath}}),
	)
}

// tokenWay is one way to send a token, such as a WebSocket subprotocol. If stricter is true, edge
// refuses a request that kube-apiserver accepts, or from which kube-apiserver reads another token.
type tokenWay struct {
	name     string
	header   http.Header
	stricter bool
}

func tokenWays() []tokenWay {
	bearer := func(lines ...string) http.Header { return http.Header{"Authorization": lines} }
	upgrade := func(protocols string, authorization ...string) http.Header {
		h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {protocols}}
		if len(authorization) > 0 {
			h["Authorization"] = authorization
		}
		return h
	}
	protocol := func(token string) string { return bearerProtocol + base64.RawURLEncoding.EncodeToString([]byte(token)) }
	return []tokenWay{
		{name: "none"},
		{name: "good", header: bearer("Bearer janes")},
		{name: "lower case", header: bearer("bearer janes")},
		{name: "reviewed", header: bearer("Bearer accounts")},
		{name: "bad", header: bearer("Bearer bad")},
		{name: "other scheme", header: bearer("Basic amFuZTpwdw==")},
		{name: "WebSocket, good", header: upgrade("v4.channel.k8s.io, " + protocol("janes"))},
		{name: "WebSocket, reviewed", header: upgrade(protocol("accounts") + ",v4.channel.k8s.io")},
		{name: "WebSocket, bad", header: upgrade("v4.channel.k8s.io, " + protocol("bad"))},
		{name: "WebSocket, none", header: upgrade("v4.channel.k8s.io")},
		{name: "WebSocket, alone", header: upgrade(protocol("janes"))},
		{name: "WebSocket, two", header: upgrade("v4.channel.k8s.io, " + protocol("janes") + "," + protocol("janes"))},
		{name: "WebSocket, no base64url", header: upgrade("v4.channel.k8s.io, " + bearerProtocol + "===")},
		{name: "both, the same", header: upgrade("v4.channel.k8s.io, "+protocol("janes"), "Bearer janes")},
		{name: "both bad", header: upgrade("v4.channel.k8s.io, "+protocol("bad"), "Bearer bad")},
		{name: "header good, WebSocket bad", header: upgrade("v4.channel.k8s.io, "+protocol("bad"), "Bearer janes"), stricter: true},
		{name: "header bad, WebSocket good", header: upgrade("v4.channel.k8s.io, "+protocol("janes"), "Bearer bad"), stricter: true},
		{name: "two lines, good first", header: bearer("Bearer janes", "Bearer bad"), stricter: true},
		{name: "two lines, bad first", header: bearer("Bearer bad", "Bearer janes")},
		{name: "a word after it", header: bearer("Bearer janes and more"), stricter: true},
		{name: "empty", header: bearer("Bearer"), stricter: true},
		{name: "two spaces", header: bearer("Bearer  janes"), stricter: true},
		{name: "two words by WebSocket", header: upgrade("v4.channel.k8s.io, " + protocol("accounts x"))},
	}
}

// kindOf returns the kind of credential with which the named user of these tests authenticates.
func kindOf(name string) Kind {
	switch name {
	case "jane", "system:serviceaccount:ns:n":
		return BearerToken
	case user.Anonymous:
		return Anonymous
	}
	return Certificate
}

// TestChainIsKubeAPIServers checks that edge accepts and refuses each combination of certificate,
// token and path as kube-apiserver's own authenticators do, for the same user.
func TestChainIsKubeAPIServers(t *testing.T) {
	root, strange := testkit.NewAuthority(t, "root"), testkit.NewAuthority(t, "strange")
	between := root.Under(t, "between")
	ca, _ := startClientCA(t, root)
	jim := pkix.Name{CommonName: "jim", Organization: []string{"ops", "dev"}}
	certificates := map[string]*tls.Certificate{
		"none":           nil,
		"good":           root.Client(t, jim),
		"uid":            root.Client(t, withUIDs(jim, "0815")),
		"intermediate":   between.Client(t, jim),
		"system":         root.Client(t, pkix.Name{CommonName: "system:admin", Organization: []string{"system:masters"}}),
		"expired":        root.Client(t, jim, expired),
		"not yet":        root.Client(t, jim, notYet),
		"for servers":    root.Client(t, jim, forServers),
		"strange":        strange.Client(t, jim),
		"no common name": root.Client(t, pkix.Name{Organization: []string{"ops"}}),
		"two uids":       root.Client(t, withUIDs(jim, "1", "2")),
		"empty uid":      root.Client(t, withUIDs(jim, "")),
	}
	// This client sends only its leaf certificate, without the intermediate certificate that signed
	// it. A server that trusts only the root certificate cannot verify the leaf.
	leaf := between.Client(t, jim)
	certificates["no intermediate"] = &tls.Certificate{Certificate: leaf.Certificate[:1], PrivateKey: leaf.PrivateKey}

	theirs := apiServersChain(t, ca)
	ours := NewChain(ChainOptions{Tokens: knownTokens{}, ClientCA: ca, Review: tokenReviewer(t, knownReviews).Review})
	var got Result
	var want *authenticator.Response
	var err error
	var accepted bool
	var left http.Header
	server := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) {
		want, accepted, _ = theirs.AuthenticateRequest(r.Clone(r.Context()))
		got, err = ours.Authenticate(r)
		left = r.Header
	})
	outcomes := map[string]int{}
	for certificate, shown := range certificates {
		client := clientOf(t, server, shown, false)
		for _, way := range tokenWays() {
			for _, path := range []string{openPath, openPath + "/", "/api"} {
				name := certificate + ", " + way.name + ", " + path
				req, reqErr := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
				if reqErr != nil {
					t.Fatal(reqErr)
				}
				maps.Copy(req.Header, way.header)
				resp, reqErr := client.Do(req)
				if reqErr != nil {
					t.Fatal(reqErr)
				}
				resp.Body.Close()
				byCertificate := err == nil && got.Kind == Certificate
				if err == nil && got.Kind != kindOf(got.User.GetName()) {
					t.Errorf("%s: %s is here by kind %d", name, got.User.GetName(), got.Kind)
				}
				if certificate == "good" && !byCertificate {
					t.Errorf("%s: %+v, %v; want the certificate's, whatever is beside it", name, got, err)
				}
				switch {
				case way.stricter && !byCertificate:
					if !isRefusal(err) {
						t.Errorf("%s: %+v, %v; want a refusal", name, got, err)
					}
				case accepted != (err == nil):
					t.Errorf("%s: %v, kube-apiserver accepts: %v", name, err, accepted)
				case accepted && !reflect.DeepEqual(got.User, want.User):
					t.Errorf("%s: %+v, kube-apiserver %+v", name, got.User, want.User)
				}
				if err != nil && got != (Result{}) {
					t.Errorf("%s: refused, and yet %+v", name, got)
				}
				if left["Authorization"] != nil || strings.Contains(left.Get(protocols), "bearer") {
					t.Errorf("%s: left %v", name, left)
				}
				switch {
				case err != nil:
					outcomes["refused"]++
				case got.Reviewed:
					outcomes["reviewed"]++
					if got.Token != "accounts" {
						t.Errorf("%s: the reviewed token is %q", name, got.Token)
					}
				default:
					outcomes[got.User.GetName()]++
				}
			}
		}
	}
	for _, outcome := range []string{"refused", "reviewed", "jane", "jim", "system:admin", user.Anonymous} {
		if outcomes[outcome] == 0 {
			t.Errorf("no request was %s: %v", outcome, outcomes)
		}
	}
}

// tokensFunc implements the interface Tokens with a function. It allows no anonymous request.
type tokensFunc func(token string) (Verified, error)

func (f tokensFunc) Authenticate(_ context.Context, token string) (Verified, error) { return f(token) }
func (f tokensFunc) Anonymous(string) bool                                          { return false }

func bearerRequest(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/api", nil)
	r.Header.Set("Authorization", "Bearer canary")
	return r
}

// TestChainNeedsAName (row EmptyIdentity of the attack corpus in docs/security.md) checks that a
// request is refused if its credential is accepted for a user without a name.
func TestChainNeedsAName(t *testing.T) {
	for name, u := range map[string]user.Info{"nil": nil, "typed nil": (*user.DefaultInfo)(nil), "empty": &user.DefaultInfo{UID: "1", Groups: []string{"g"}}} {
		for way, o := range map[string]ChainOptions{
			"token": {Tokens: tokensFunc(func(string) (Verified, error) { return Verified{User: u}, nil })},
			"review": {
				Tokens: tokensFunc(func(string) (Verified, error) { return Verified{}, ErrNotReady }),
				Review: func(context.Context, string) (user.Info, error) { return u, nil },
			},
		} {
			if got, err := NewChain(o).Authenticate(bearerRequest(t)); !errors.Is(err, ErrNoName) || got != (Result{}) {
				t.Errorf("%s, %s: %+v, %v", way, name, got, err)
			}
		}
	}
	// edge must refuse a user without a name even if the user comes from a TokenReview: here the
	// API server accepts the token and returns an empty user name.
	nobody := &tokenReviews{decide: func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus { return yesTo("") }}
	chain := NewChain(ChainOptions{Tokens: knownTokens{}, Review: tokenReviewer(t, nobody).Review})
	for range 2 { // in the first pass the API server reviews the token, in the second pass the cache has the result
		if got, err := chain.Authenticate(bearerRequest(t)); !errors.Is(err, ErrNoName) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestChainErrors checks which of several errors about one request's credentials is returned: the
// one that helps the client most.
func TestChainErrors(t *testing.T) {
	unknown := tokenReview.Unavailable(errors.New("no route"), "try again")
	late := refused(ReasonExpired, "exp is past")
	for name, test := range map[string]struct {
		token, review error
		is            error
		reason        Reason
		says          []string
	}{
		"refused":           {token: late, reason: ReasonExpired, says: []string{"exp is past"}},
		"refused by both":   {token: late, review: errReviewedNo, reason: ReasonExpired, says: []string{"exp is past", "review: the API server"}},
		"nobody knows":      {token: late, review: unknown, is: unknown, says: []string{"no route", "expired: exp is past"}},
		"not ready":         {token: ErrNotReady, is: ErrNotReady},
		"not ready, and no": {token: ErrNotReady, review: errReviewedNo, is: ErrNotReady, says: []string{"review: the API server"}},
		"neither is ready":  {token: ErrNotReady, review: unknown, is: ErrNotReady, says: []string{"no route"}},
	} {
		o := ChainOptions{Tokens: tokensFunc(func(string) (Verified, error) { return Verified{}, test.token })}
		if test.review != nil {
			o.Review = func(context.Context, string) (user.Info, error) { return nil, test.review }
		}
		got, err := NewChain(o).Authenticate(bearerRequest(t))
		if err == nil || got != (Result{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		var wrong *RefusedError
		if refusedAs := errors.As(err, &wrong); refusedAs != (test.reason != "") || refusedAs && wrong.Reason != test.reason {
			t.Errorf("%s: %v", name, err)
		}
		if test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v", name, err)
		}
		if slices.ContainsFunc(test.says, func(s string) bool { return !strings.Contains(err.Error(), s) }) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewChain(ChainOptions{Tokens: knownTokens{}}).Authenticate(httptest.NewRequest(http.MethodGet, "/api", nil)); !errors.Is(err, ErrNoCredential) {
		t.Errorf("no credential: %v", err)
	}
}

// TestChainReviewsWhileNotReady checks that a token that the API server accepts in a review is
// accepted while edge has no keys of an issuer.
func TestChainReviewsWhileNotReady(t *testing.T) {
	chain := NewChain(ChainOptions{
		Tokens: tokensFunc(func(string) (Verified, error) { return Verified{}, ErrNotReady }),
		Review: func(context.Context, string) (user.Info, error) { return &user.DefaultInfo{Name: "n"}, nil },
	})
	got, err := chain.Authenticate(bearerRequest(t))
	if err != nil || got.User.GetName() != "n" || got.Token != "canary" || !got.Reviewed || !got.Expires.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}
