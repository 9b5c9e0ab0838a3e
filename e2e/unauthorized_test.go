package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// badTokens returns tokens that each have one error. If possible, the provider itself issued the
// token; otherwise the test signed it.
func badTokens(t *testing.T) map[string]string {
	t.Helper()
	ctx := t.Context()
	must := func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	claims := func(name string, value any) map[string]any {
		c := idp.Claims("alice")
		c[name] = value
		return c
	}
	// stranger is a real identity provider with the same users, which edge is not configured to
	// trust
	stranger, err := bed.StartIssuer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(tokens["alice"], ".")
	payload, signature, _ := strings.Cut(rest, ".")
	_, bobs, _ := strings.Cut(tokens["bob"], ".")
	bobsPayload, _, _ := strings.Cut(bobs, ".")
	return map[string]string{
		"none":                    "",
		"not a token":             "abc.def.ghi",
		"wrong issuer":            must(stranger.Login(ctx, "alice")),
		"wrong issuer, right key": must(idp.Mint(claims("iss", stranger.URL))),
		"issuer with a slash":     must(idp.Mint(claims("iss", idp.URL+"/"))),
		"wrong audience":          must(idp.LoginFor(ctx, "alice", issuer.OtherClientID)),
		"no audience":             must(idp.Mint(claims("aud", []string{}))),
		"wrong signature":         must(idp.Forge(idp.Claims("alice"))),
		"another's signature":     header + "." + bobsPayload + "." + signature,
		"no signature":            header + "." + payload + ".",
		"expired":                 must(idp.Mint(claims("exp", time.Now().Add(-time.Hour).Unix()))),
		"not yet valid":           must(idp.Mint(claims("nbf", time.Now().Add(time.Hour).Unix()))),
		"required claim differs":  tokens["carol"],
		"required claim missing":  must(idp.Mint(claims("tenant", nil))),
	}
}

// TestUnauthorized checks tokens with an error, with every protocol and on every path. edge must
// refuse each of them and send nothing to the API server.
func TestUnauthorized(t *testing.T) {
	t.Parallel()
	bad := badTokens(t)
	good, err := idp.Mint(idp.Claims("alice")) // a token like the bad ones, but without an error
	if err != nil {
		t.Fatal(err)
	}
	s := sites[cluster.New]
	ways := map[string]func(t *testing.T, to cluster.Access, marker string) answer{
		"HTTP/1.1": func(t *testing.T, to cluster.Access, marker string) answer {
			return raw(t.Context(), t, to, "GET", podsURI+"?"+marker, askJSON)
		},
		"HTTP/2": func(t *testing.T, to cluster.Access, marker string) answer {
			return overHTTP2(t.Context(), t, to, podsURI+"?"+marker, http.Header{"Accept": {"application/json"}})
		},
		"exec over WebSocket": func(t *testing.T, to cluster.Access, marker string) answer {
			return raw(t.Context(), t, to, "GET", execURI+"&"+marker, askWebSocket("v5.channel.k8s.io")...)
		},
		"exec over SPDY": func(t *testing.T, to cluster.Access, marker string) answer {
			return raw(t.Context(), t, to, "POST", execURI+"&"+marker, askSPDY...)
		},
		"port-forward over a tunnel": func(t *testing.T, to cluster.Access, marker string) answer {
			return raw(t.Context(), t, to, "GET", portForwardURI+"?"+marker, askWebSocket("SPDY/3.1+portforward.k8s.io")...)
		},
	}
	for way, ask := range ways {
		for _, path := range paths {
			t.Run(way+"/"+path, func(t *testing.T) {
				t.Parallel()
				// behind a load balancer, the SPDY request arrives at edge without its Upgrade
				// header
				spdyBalanced := path != direct && way == "exec over SPDY"
				if a := ask(t, s.access(path, good), "good=token"); a.code >= 300 && !spdyBalanced {
					t.Errorf("a good token: %v", a)
				}
				for name, token := range bad {
					a := ask(t, s.access(path, token), url.Values{"unauthorized": {name}}.Encode())
					st := a.status()
					if a.code != http.StatusUnauthorized || st.Code != http.StatusUnauthorized || st.Reason != metav1.StatusReasonUnauthorized {
						t.Errorf("%s: %v; want 401 with a Status", name, a)
					}
					if len(token) > 20 && strings.Contains(string(a.body), token) {
						t.Errorf("%s: the answer repeats the token", name)
					}
				}
			})
		}
	}
	t.Cleanup(func() { // Cleanup runs this check when the parallel subtests have ended
		events, err := s.cluster.Audit(func(e cluster.AuditEvent) bool { return strings.Contains(e.RequestURI, "unauthorized=") })
		if err != nil || len(events) != 0 {
			t.Errorf("reached the API server: %+v, %v", events, err)
		}
	})
}

// TestTokenExpires checks a token that edge has accepted and cached: edge must refuse it once it
// has expired.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	// The tokens of the user dave are valid for ten seconds. edge must accept the token at first,
	// and refuse it later, within three minutes (the constant patience).
	s := sites[cluster.New]
	token, err := idp.Login(t.Context(), "dave")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for let := false; ; {
		a := raw(t.Context(), t, s.access(direct, token), "GET", podsURI+"?limit=1", askJSON)
		switch {
		case a.code == http.StatusOK:
			let = true
		case a.code == http.StatusUnauthorized && let:
			return
		default:
			t.Fatal(a)
		}
		if time.Now().After(deadline) {
			t.Fatal("the token was still accepted long after it expired")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestKubectlUnauthorized checks that kubectl asks the user to log in if edge answers 401.
func TestKubectlUnauthorized(t *testing.T) {
	t.Parallel()
	file, err := bed.Kubeconfig(sites[cluster.New].access(balanced, tokens["carol"]))
	if err != nil {
		t.Fatal(err)
	}
	r := bed.Kubectl("1.35", file).Run(t.Context(), "get", "pods")
	if r.Code == 0 || !strings.Contains(string(r.Stderr), "You must be logged in to the server") {
		t.Errorf("code %d: %s", r.Code, r.Stderr)
	}
}
