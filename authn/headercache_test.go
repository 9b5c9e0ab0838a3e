package authn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestKnownHeaderProvesNothing checks that a bad token is refused although another token's equal
// header is cached.
func TestKnownHeaderProvesNothing(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	a := start(t, i.config(t))
	jane, joe := sign(t, rsaKey(), i.claims(nil)), sign(t, rsaKey(), i.claims(map[string]any{"sub": "joe"}))
	if got := refusal(t, a, jane); got != "" {
		t.Fatal(got)
	}
	if len(a.rules.Load().headers.byText) != 1 {
		t.Fatal("its header is not remembered: this test sees nothing")
	}
	janes, joes := strings.Split(jane, "."), strings.Split(joe, ".")
	for name, token := range map[string]string{
		"another's payload":         joes[0] + "." + joes[1] + "." + janes[2],
		"another's signature":       joes[0] + "." + janes[1] + "." + joes[2],
		"no signature":              joes[0] + "." + joes[1] + ".",
		"another key's signature":   sign(t, rsaKeyNamed(rsaKey().KeyID), i.claims(map[string]any{"sub": "eve"})),
		"the payload with a break":  joes[0] + "." + joes[1][:9] + "\n" + joes[1][9:] + "." + joes[2],
		"a signature with a letter": joes[0] + "." + joes[1] + "." + joes[2] + "!",
	} {
		if got := refusal(t, a, token); got != ReasonSignature && got != ReasonMalformed {
			t.Errorf("%s: refused as %q", name, got)
		}
	}
	if got := refusal(t, a, joe); got != "" {
		t.Errorf("a good token with a known header: refused as %q", got)
	}
}

// TestExplainedHeaderIsNotKnown checks that Explain does not cache the header of a token whose
// algorithm is not allowed.
func TestExplainedHeaderIsNotKnown(t *testing.T) {
	i := newTestIssuer(t, rsaKey(), ecKey())
	a := start(t, i.config(t)) // the configuration allows only RS256
	token := sign(t, ecKey(), i.claims(nil))
	if e := a.Explain(t.Context(), token, ExplainOptions{}); e.Reason != ReasonAlgorithm {
		t.Fatal(e)
	}
	if got := refusal(t, a, token); got != ReasonAlgorithm {
		t.Errorf("refused as %q", got)
	}
}

// TestHeadersAreBounded checks that edge accepts tokens with large headers, and many tokens that
// all have different headers, and that the header cache stays bounded.
func TestHeadersAreBounded(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	a := start(t, i.config(t))
	known := a.rules.Load().headers
	write := func(value string) {
		options := (&jose.SignerOptions{}).WithHeader("nr", value)
		if got := refusal(t, a, signWith(t, jose.RS256, rsaKey(), i.claims(nil), options)); got != "" {
			t.Fatalf("a header with %d bytes more: %s", len(value), got)
		}
	}
	write(strings.Repeat("x", maxCachedHeaderBytes))
	if len(known.byText) != 0 {
		t.Error("a large header is remembered")
	}
	most := 0
	for n := range 3 * maxCachedHeaders {
		write(fmt.Sprint(n))
		most = max(most, len(known.byText))
	}
	if most != maxCachedHeaders {
		t.Errorf("%d headers remembered, want at most %d", most, maxCachedHeaders)
	}
}
