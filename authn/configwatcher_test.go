package authn

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"

	"edge/internal/testkit"
)

// accepts returns a configuration entry that accepts this issuer's tokens. The user's name is the
// token's sub with prefix in front.
func (i *testIssuer) accepts(prefix string) apiserver.JWTAuthenticator {
	spec := fromFlags(Flags{IssuerURL: i.URL, ClientID: "edge", UsernamePrefix: prefix, GroupsClaim: "groups"})
	spec.Issuer.CertificateAuthority = string(i.pem())
	return spec
}

// replaceFile replaces a file as a whole by another file, as Kubernetes does with a mounted
// ConfigMap.
func replaceFile(t testing.TB, name string, content []byte) {
	t.Helper()
	writeFile(t, name+".new", content)
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// startFile runs an Authenticator with a configuration file that contains these issuers. The
// Authenticator reads the file every millisecond. The returned function change writes other issuers
// into the file, and waits until the Authenticator uses them.
func startFile(t testing.TB, log *logBuffer, p fetchSchedule, issuers ...apiserver.JWTAuthenticator) (a *Authenticator, change func(...apiserver.JWTAuthenticator)) {
	t.Helper()
	file := writeConfig(t, &apiserver.AuthenticationConfiguration{JWT: issuers}, "v1")
	a, err := New(Options{File: file, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a.schedule, a.reloadEvery = p, time.Millisecond
	run(t, a)
	waitForAll(t, a)
	return a, func(issuers ...apiserver.JWTAuthenticator) {
		t.Helper()
		before := a.rules.Load()
		replaceFile(t, file, encodeConfig(t, &apiserver.AuthenticationConfiguration{JWT: issuers}, "v1"))
		testkit.WaitFor(t, "the new configuration", func() bool { return a.rules.Load() != before })
	}
}

// nameOf returns the user name of a token, or the error text if the token is refused.
func nameOf(t testing.TB, a *Authenticator, token string) string {
	t.Helper()
	v, err := a.Authenticate(context.Background(), token)
	if err != nil {
		return err.Error()
	}
	return v.User.GetName()
}

func TestReload(t *testing.T) {
	one, two := newTestIssuer(t, rsaKey()), newTestIssuer(t, ecKey())
	log := &logBuffer{}
	a, change := startFile(t, log, defaultSchedule, one.accepts("1:"))
	first, second := sign(t, rsaKey(), one.claims(nil)), sign(t, ecKey(), two.claims(nil))
	if got := nameOf(t, a, first); got != "1:jane" {
		t.Fatal(got)
	}
	if got := refusal(t, a, second); got != ReasonIssuer {
		t.Fatalf("an issuer that is not configured: %q", got)
	}

	// A second issuer is added. A request with its token waits until edge has the second issuer's
	// keys. The first issuer keeps its keys and its cached tokens.
	known := a.rules.Load().issuers[one.URL]
	change(one.accepts("1:"), two.accepts("2:"))
	if got := nameOf(t, a, second); got != "2:jane" {
		t.Error(got)
	}
	if a.rules.Load().issuers[one.URL] != known || a.cache.len() != 2 {
		t.Errorf("%d tokens are remembered: the first issuer is another, though nothing of it changed", a.cache.len())
	}
	// Changed rules of an issuer are used at once, also for cached tokens, and cause no fetch of
	// keys.
	change(one.accepts("one:"), two.accepts("2:"))
	if got := nameOf(t, a, first); got != "one:jane" {
		t.Error(got)
	}
	if n := one.keyFetches.Load(); n != 1 {
		t.Errorf("%d key fetches for a change of rules, want none but the first", n-1)
	}
	// The configuration now has another CA for the first issuer. So edge must fetch that issuer's
	// keys again, and not use the keys that it fetched with the old CA.
	elsewhere := one.accepts("one:")
	elsewhere.Issuer.CertificateAuthority += "\n"
	change(elsewhere, two.accepts("2:"))
	if got := nameOf(t, a, first); got != "one:jane" {
		t.Error(got)
	}
	if n := one.keyFetches.Load(); n != 2 {
		t.Errorf("%d key fetches, want one more", n)
	}
	// A token of a removed issuer is refused at once, although the token is cached.
	change(two.accepts("2:"))
	if got := refusal(t, a, first); got != ReasonIssuer {
		t.Errorf("a removed issuer's token: %q", got)
	}
	if got := nameOf(t, a, second); got != "2:jane" || a.cache.len() != 1 {
		t.Errorf("the other issuer's token: %s; %d are remembered", got, a.cache.len())
	}
	change()
	if got := refusal(t, a, second); got != ReasonIssuer || a.Ready() != nil {
		t.Errorf("no issuer left: %q, Ready %v", got, a.Ready())
	}
	if warnings := a.Warnings(); len(warnings) != 0 {
		t.Error(warnings)
	}
	adopted := 0
	for _, line := range log.lines() {
		if strings.Contains(line, "reloaded the authentication configuration") {
			adopted++
		}
	}
	if adopted != 5 {
		t.Errorf("%d lines for 5 changes:\n%s", adopted, strings.Join(log.lines(), "\n"))
	}
}

// TestRememberedTokenOfARemovedIssuer checks that a cached token is refused as soon as its issuer
// is removed, even before the cache is swept.
func TestRememberedTokenOfARemovedIssuer(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	a := start(t, i.config(t))
	token := sign(t, rsaKey(), i.claims(nil))
	if got := refusal(t, a, token); got != "" {
		t.Fatal(got)
	}
	without := *a.rules.Load()
	without.issuers = nil
	a.rules.Store(&without)
	if got := refusal(t, a, token); got != ReasonIssuer || a.cache.len() != 0 {
		t.Errorf("refused as %q, %d are remembered", got, a.cache.len())
	}
}

// TestRemovedIssuerIsLeftAlone checks that edge stops fetching the keys of an issuer that is
// removed from the configuration.
func TestRemovedIssuerIsLeftAlone(t *testing.T) {
	one, two := newTestIssuer(t, rsaKey()), newTestIssuer(t, ecKey())
	_, change := startFile(t, &logBuffer{}, often, one.accepts("1:"), two.accepts("2:"))
	change(two.accepts("2:"))
	testkit.WaitFor(t, "a pause in the removed issuer's fetches", func() bool {
		before, others := one.keyFetches.Load(), two.keyFetches.Load()
		testkit.WaitFor(t, "fetches at the other", func() bool { return two.keyFetches.Load() > others+10 })
		return one.keyFetches.Load() == before
	})
}

// TestBadFileIsRefused checks that a bad configuration file changes nothing. The log reports the
// bad file once, and Warnings report it as long as it is bad.
func TestBadFileIsRefused(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	log := &logBuffer{}
	a, _ := startFile(t, log, defaultSchedule, i.accepts("1:"))
	good, err := os.ReadFile(a.options.File)
	if err != nil {
		t.Fatal(err)
	}
	rules, token := a.rules.Load(), sign(t, rsaKey(), i.claims(nil))
	bad := i.accepts("")
	bad.ClaimMappings.Username.Expression = "claims.nick" // a username expression together with a username claim is not allowed
	worse := i.accepts("1:")
	worse.Issuer.URL = "https://jane:secret@issuer.example"
	steps := []struct {
		name, says string
		change     func()
	}{
		{"does not decode", "unknown field", func() { replaceFile(t, a.options.File, bytes.Replace(good, []byte("{"), []byte(`{"more":1,`), 1)) }},
		{"does not validate", "claim and expression can't both be set", func() {
			replaceFile(t, a.options.File, encodeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{bad}}, "v1"))
		}},
		{"has a password", "must not contain a username", func() {
			replaceFile(t, a.options.File, encodeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{worse}}, "v1"))
		}},
		{"is cut", "yaml", func() { replaceFile(t, a.options.File, append([]byte(nil), "jwt: [{issuer: {url"...)) }},
		{"is empty", "the file is empty", func() { replaceFile(t, a.options.File, nil) }},
		{"is gone", "no such file", func() {
			if err := os.Remove(a.options.File); err != nil {
				t.Error(err)
			}
		}},
	}
	// The log line about the issuer's keys may come at any time, so only lines about the file count.
	refusals := func() (lines []string) {
		for _, line := range log.lines() {
			if strings.Contains(line, "refused the authentication configuration file") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	for n, step := range steps {
		step.change()
		testkit.WaitFor(t, "the warning: "+step.name, func() bool { return strings.Contains(strings.Join(a.Warnings(), "\n"), step.says) })
		if got := nameOf(t, a, token); got != "1:jane" || a.rules.Load() != rules {
			t.Errorf("%s: the last good configuration is not in use: %s", step.name, got)
		}
		// Change the bad file, but not its fault, and wait until edge has read it. edge must not
		// log the same fault again.
		if again, err := os.ReadFile(a.options.File); err == nil && len(again) > 0 {
			again = append(again, '\n')
			replaceFile(t, a.options.File, again)
			testkit.WaitFor(t, "another reading", func() bool {
				a.config.mu.Lock()
				defer a.config.mu.Unlock()
				return bytes.Equal(a.config.refused, again)
			})
		}
		said := refusals()
		if len(said) != n+1 || !strings.Contains(said[n], step.says) {
			t.Errorf("%s: %d lines more, want one: %s", step.name, len(said)-n, strings.Join(said, "\n"))
		}
		if warnings := a.Warnings(); len(warnings) != 1 || !strings.Contains(warnings[0], a.options.File) || strings.Contains(warnings[0], "secret") || len(warnings[0]) > 600 {
			t.Errorf("%s: %q", step.name, warnings)
		}
	}
	replaceFile(t, a.options.File, good)
	testkit.WaitFor(t, "the warning to go", func() bool { return len(a.Warnings()) == 0 })
	if a.rules.Load() != rules || strings.Contains(strings.Join(log.lines(), ""), "secret") {
		t.Errorf("the same file makes another configuration, or a password is in the log:\n%s", strings.Join(log.lines(), "\n"))
	}
}

// TestReloadUnderLoad checks that requests during a reload use the old or the new configuration,
// and are never left without one.
func TestReloadUnderLoad(t *testing.T) {
	const workers, changes = 6, 60
	one, two := newTestIssuer(t, ecKey()), newTestIssuer(t, rsaKey())
	a, change := startFile(t, &logBuffer{}, defaultSchedule, one.accepts("1:"))
	var tokens []string
	for n := range 200 {
		tokens = append(tokens, sign(t, ecKey(), one.claims(map[string]any{"jti": fmt.Sprint(n)})))
	}
	other := sign(t, rsaKey(), two.claims(nil))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for n := worker; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got := nameOf(t, a, tokens[n%len(tokens)]); got != "1:jane" && got != "one:jane" {
					t.Errorf("a good token: %s", got)
					return
				}
			}
		})
	}
	for n := range changes {
		entry, want := one.accepts("1:"), "1:jane"
		if n%2 == 1 {
			entry, want = one.accepts("one:"), "one:jane"
		}
		if n%3 == 2 { // change the CA, so that edge fetches the issuer's keys again
			entry.Issuer.CertificateAuthority += strings.Repeat("\n", n)
		}
		if n%4 < 2 {
			change(entry, two.accepts("2:"))
			if got := nameOf(t, a, other); got != "2:jane" {
				t.Errorf("the issuer that has come: %s", got)
			}
		} else {
			change(entry)
			if got := refusal(t, a, other); got != ReasonIssuer {
				t.Errorf("the issuer that is gone: %q", got)
			}
		}
		if got := nameOf(t, a, tokens[0]); got != want {
			t.Errorf("after the change: %s, want %s", got, want)
		}
	}
	close(stop)
	wg.Wait()
}
