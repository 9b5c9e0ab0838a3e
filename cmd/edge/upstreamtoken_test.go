package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// TestUpstreamTokenIsRenewed checks that a token is renewed after four fifths of the lifetime that
// the API server granted. This lifetime is shorter than requested, and the API server's clock
// differs from edge's.
func TestUpstreamTokenIsRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &tokenMaker{t: t, longest: 10 * time.Minute}
		var log bytes.Buffer
		u, send := startToken(t, m, hourly, slog.New(slog.NewTextHandler(&log, nil)), ok)
		for n := 1; n <= 20; n++ {
			for _, part := range []time.Duration{time.Second, 8*time.Minute - 2*time.Second} {
				time.Sleep(part)
				synctest.Wait()
				if got, err := send(); err != nil || got != fmt.Sprint("own-", n) || m.requests() != n || u.ready() != nil {
					t.Fatalf("token %d: %q, %v after %d requests, ready %v", n, got, err, m.requests(), u.ready())
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		for _, asked := range m.asked {
			if !slices.Equal(asked.Audiences, hourly.audience) || *asked.ExpirationSeconds != 3600 {
				t.Errorf("asked %+v", asked)
			}
		}
		if strings.Contains(log.String(), "own-") || strings.Contains(log.String(), "bootstrap") || !strings.Contains(log.String(), "renewed edge's own token") {
			t.Errorf("logged %s", log.String())
		}
	})
}

// TestUpstreamTokenRenewalFails checks that the current token is used until it expires while the
// API server grants no new one, and that nothing goes upstream after that. edge retries at a
// limited rate, and is ready again when the API server grants a token.
func TestUpstreamTokenRenewalFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &tokenMaker{t: t}
		var log bytes.Buffer
		u, send := startToken(t, m, hourly, slog.New(slog.NewTextHandler(&log, nil)), ok)
		m.answerWith(http.StatusForbidden)
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if got, err := send(); got != "own-1" || err != nil || u.ready() != nil {
			t.Errorf("before it expires: %q, %v, %v", got, err, u.ready())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got, err := send(); got != "" || !errors.Is(err, errNoEdgeToken) {
			t.Errorf("after it expired: %q, %v", got, err)
		}
		if err := u.ready(); !errors.Is(err, errNoEdgeToken) || !strings.Contains(err.Error(), "serviceaccounts/token") {
			t.Errorf("after it expired: %v", err)
		}
		// In these 12 minutes edge sends up to 6 token requests while the wait grows to a minute,
		// then one every 60 to 90 s.
		if n := m.requests(); n < 10 || n > 1+6+12 {
			t.Errorf("asked %d times", n)
		}
		m.answerWith(0)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if got, err := send(); !strings.HasPrefix(got, "own-") || err != nil || u.ready() != nil {
			t.Errorf("afterwards: %q, %v, %v", got, err, u.ready())
		}
		if strings.Contains(log.String(), "own-") || !strings.Contains(log.String(), "failed to renew") {
			t.Errorf("logged %s", log.String())
		}
	})
}

// TestUpstreamTokenIsRefused checks that a token that the API server refuses is replaced
// immediately, and that the request is sent once more. If new tokens are refused as well, edge
// requests at most one token in ten seconds.
func TestUpstreamTokenIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // as if the ServiceAccount was deleted and created again: its first token is refused
		m := &tokenMaker{t: t}
		_, send := startToken(t, m, hourly, silent, func(r *http.Request) int {
			if r.Header.Get("Authorization") == "Bearer own-1" && time.Since(midnight) > time.Minute {
				return http.StatusUnauthorized
			}
			return http.StatusOK
		})
		time.Sleep(2 * time.Minute)
		if got, err := send(); got != "own-2" || err != nil {
			t.Errorf("answered to %q, %v", got, err)
		}
		synctest.Wait()
		time.Sleep(48*time.Minute - time.Second) // the new token is renewed after four fifths of its lifetime
		synctest.Wait()
		if n := m.requests(); n != 2 {
			t.Errorf("%d tokens were asked for", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := m.requests(); n != 3 {
			t.Errorf("%d tokens were asked for", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := &tokenMaker{t: t}
		_, send := startToken(t, m, hourly, silent, func(*http.Request) int { return http.StatusUnauthorized })
		const seconds = 100
		for range seconds * 10 {
			time.Sleep(time.Second / 10)
			if _, err := send(); err != nil {
				t.Fatal(err)
			}
		}
		if n := m.requests(); n < 2 || n > 1+seconds/10 {
			t.Errorf("%d tokens in %d s", n, seconds)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a server behind the API server answers 401; the API server itself still accepts edge's token
		m := &tokenMaker{t: t}
		_, send := startToken(t, m, hourly, silent, func(r *http.Request) int {
			if strings.HasSuffix(r.URL.Path, "/selfsubjectreviews") {
				return http.StatusCreated
			}
			return http.StatusUnauthorized
		})
		time.Sleep(time.Minute)
		if got, err := send(); got != "own-1" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if n := m.requests(); n != 1 {
			t.Errorf("%d tokens were asked for", n)
		}
	})
}

// midnight is the time at which the clock of synctest starts.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestUpstreamTokenAtStart checks that edge does not start if an operator has to change something
// before edge can get a token, and that the error states what to change.
func TestUpstreamTokenAtStart(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{
		403: "a Role in namespace edge with verb create on resource serviceaccounts/token, resourceNames [front]",
		404: "no ServiceAccount front in namespace edge",
		401: "does not accept edge's credential",
		422: "rejects the token request",
		400: "rejects the token request",
	} {
		m := &tokenMaker{t: t, code: code}
		u, err := newUpstreamToken(t.Context(), m.bootstrap(), hourly, silent)
		if u != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--upstream-token-request: ") {
			t.Errorf("%d: %v", code, err)
		}
		var status apierrors.APIStatus
		if !errors.As(err, &status) || m.requests() != 1 {
			t.Errorf("%d: %v after %d requests", code, err, m.requests())
		}
	}
	synctest.Test(t, func(t *testing.T) { // the API server is not up yet
		m := &tokenMaker{t: t, code: http.StatusInternalServerError}
		u, send := startToken(t, m, hourly, silent, ok)
		if got, err := send(); got != "" || !errors.Is(err, errNoEdgeToken) || u.ready() == nil {
			t.Errorf("at first: %q, %v, %v", got, err, u.ready())
		}
		m.answerWith(0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, err := send(); !strings.HasPrefix(got, "own-") || err != nil || u.ready() != nil {
			t.Errorf("then: %q, %v, %v", got, err, u.ready())
		}
	})
	synctest.Test(t, func(t *testing.T) { // the API server does not answer
		cfg := (&tokenMaker{t: t}).bootstrap()
		cfg.WrapTransport = func(http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		}
		before := time.Now()
		if u, err := newUpstreamToken(t.Context(), cfg, hourly, silent); err != nil || u.ready() == nil {
			t.Errorf("%v", err)
		}
		if waited := time.Since(before); waited != tokenRequestTimeout { // exact, by synctest's clock
			t.Errorf("waited %v", waited)
		}
	})
}

// TestUpstreamTokenWaitersMayLeave checks that a caller that waits for another caller's token
// request returns when its own context ends.
func TestUpstreamTokenWaitersMayLeave(t *testing.T) {
	t.Parallel()
	m := &tokenMaker{t: t}
	arrived, release := make(chan struct{}), make(chan struct{})
	var hangs, ended atomic.Bool
	cfg := m.bootstrap()
	cfg.WrapTransport = func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !hangs.Load() {
				return m.RoundTrip(r)
			}
			close(arrived) // a second token request would panic here
			defer ended.Store(true)
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return nil, errors.New("no answer")
		})
	}
	u, err := newUpstreamToken(t.Context(), cfg, hourly, silent)
	if err != nil {
		t.Fatal(err)
	}
	hangs.Store(true)
	asker := make(chan error, 1)
	go func() { asker <- u.renew(t.Context()) }()
	<-arrived
	gone, leave := context.WithCancel(t.Context())
	leave()
	u.replace(gone, bearer+u.current.Load().value)
	if err := u.renew(gone); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if ended.Load() {
		t.Error("a caller that had left waited for another's question")
	}
	close(release)
	if <-asker == nil || u.ready() != nil {
		t.Error("no answer became a token, or the one in hand is lost:", u.ready())
	}
}

// TestUpstreamTokenAnswers checks that an answer to a token request without a usable token or
// expiration counts as a failure.
func TestUpstreamTokenAnswers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*authenticationv1.TokenRequest){
		"no token":    func(a *authenticationv1.TokenRequest) { a.Status.Token = "" },
		"a line":      func(a *authenticationv1.TokenRequest) { a.Status.Token = "a\r\nb" },
		"past":        func(a *authenticationv1.TokenRequest) { a.Status.ExpirationTimestamp = a.CreationTimestamp },
		"no deadline": func(a *authenticationv1.TokenRequest) { a.Status.ExpirationTimestamp = metav1.Time{} },
	} {
		m := &tokenMaker{t: t}
		cfg := m.bootstrap()
		cfg.WrapTransport = func(http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := m.RoundTrip(r)
				var made authenticationv1.TokenRequest
				if err == nil {
					err = json.NewDecoder(resp.Body).Decode(&made)
				}
				change(&made)
				return answer(r, http.StatusCreated, made), err
			})
		}
		if u, err := newUpstreamToken(t.Context(), cfg, hourly, silent); err != nil || u.ready() == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUpstreamTokenConfig checks that the configuration for edge's requests does not contain the
// bootstrap credential, and that the bootstrap credential is sent only to an https API server.
func TestUpstreamTokenConfig(t *testing.T) {
	t.Parallel()
	m := &tokenMaker{t: t}
	cfg := m.bootstrap()
	cfg.CAData, cfg.ServerName = []byte("ca"), "name"
	cfg.BearerTokenFile, cfg.Username, cfg.Password = "file", "u", "p"
	u := &upstreamToken{bootstrap: cfg}
	got := u.config()
	if got.Host != cfg.Host || string(got.CAData) != "ca" || got.ServerName != "name" || got.Timeout != cfg.Timeout {
		t.Errorf("not the same way: %v", got)
	}
	if got.BearerToken != "" || got.BearerTokenFile != "" || got.Username != "" || got.Password != "" || got.ExecProvider != nil || got.AuthProvider != nil ||
		got.CertFile != "" || got.CertData != nil || got.KeyFile != "" || got.KeyData != nil {
		t.Errorf("a credential is left: %v", got)
	}

	plain := m.bootstrap()
	plain.Host = "http://api.example"
	as := m.bootstrap()
	as.Impersonate.UserName = "somebody"
	for _, cfg := range []*rest.Config{plain, as} {
		if u, err := newUpstreamToken(t.Context(), cfg, hourly, silent); u != nil || err == nil {
			t.Errorf("%v is taken", cfg)
		}
	}
	if n := m.requests(); n != 0 {
		t.Errorf("%d tokens were asked for", n)
	}
}

func TestTokenRequestValidates(t *testing.T) {
	t.Parallel()
	for _, account := range []string{"", "/", "edge", "edge/", "/front", "edge/front/more", "edge/../front", "edge/a b", "Edge/front", "edge/-front"} {
		if err := (tokenRequest{account: account, lifetime: time.Hour}).validate(); err == nil || !strings.Contains(err.Error(), "--upstream-token-request:") {
			t.Errorf("%q: %v", account, err)
		}
	}
	for lifetime, want := range map[time.Duration]bool{
		0: false, -time.Hour: false, minTokenLifetime - time.Second: false, minTokenLifetime: true, maxTokenLifetime: true, maxTokenLifetime + time.Second: false,
	} {
		if err := (tokenRequest{account: "edge/front", lifetime: lifetime}).validate(); (err == nil) != want {
			t.Errorf("%v: %v", lifetime, err)
		}
	}
}

// TestTokenRequestAlone checks that the flags for token requests are refused without
// --upstream-token-request.
func TestTokenRequestAlone(t *testing.T) {
	t.Parallel()
	for flag, change := range map[string]func(*tokenRequest){
		"--upstream-token-request-audience": func(o *tokenRequest) { o.audience = []string{"x"} },
		"--upstream-token-request-lifetime": func(o *tokenRequest) { o.lifetime = 30 * time.Minute },
	} {
		c := newClientOptions()
		change(&c.tokens)
		if err := c.validate(); err == nil || err.Error() != flag+": needs --upstream-token-request" {
			t.Errorf("%s alone: %v", flag, err)
		}
		c.tokens.account = "edge/proxy"
		if err := c.validate(); err != nil {
			t.Error(err)
		}
	}
}
