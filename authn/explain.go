package authn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
)

// ExplainOptions say how far [Authenticator.Explain] may go.
type ExplainOptions struct {
	// Fetch: get the keys from the token's issuer, once, if there are none in hand. Otherwise nothing leaves this process,
	// and the signature is not checked.
	Fetch bool
}

// An Outcome is that of one step, or of all.
type Outcome string

// The outcomes. A step is skipped where it cannot be done: for want of keys, or of what was refused before.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeRefused Outcome = "refused"
	OutcomeSkipped Outcome = "skipped"
)

// Step is one thing that was asked of a token.
type Step struct {
	Name    string
	Outcome Outcome
	Detail  string // one line in words; it may quote single claims
}

// Explanation is what becomes of a token and why. It has neither the token nor its signature nor its payload as a whole.
type Explanation struct {
	Outcome Outcome  // refused if any step is; skipped if none is, but the signature was not checked
	Reason  Reason   // of the first refusal, which is Authenticate's
	Issuer  string   // whose token it is; empty: nobody's who is configured
	Issuers []string // all that are configured, sorted
	Steps   []Step   // in the order of the checks
	// User is whom the token would make; nil if it makes none. It is no proof of anything unless Outcome is ok.
	User    user.Info
	Expires time.Time // zero: not known
}

// Explain asks of a token all that [Authenticator.Authenticate] asks, by the same code, and goes on after a refusal as far as
// it can.
func (a *Authenticator) Explain(ctx context.Context, token string, o ExplainOptions) Explanation {
	v := &verification{rules: a.rules.Load(), token: token, now: a.options.Now(), explaining: true}
	e := Explanation{Outcome: OutcomeOK, Issuers: slices.Sorted(maps.Keys(v.rules.issuers))}
	nobody := false
	for _, check := range checks {
		if check.name == "signature" && o.Fetch && v.issuer != nil && !v.issuer.source.ready() {
			e.Steps = append(e.Steps, v.fetchKeys(ctx, a.options.Now))
		}
		err := check.run(v, ctx)
		step := Step{check.name, OutcomeOK, v.describe(check.name)}
		wrong := new(RefusedError)
		switch {
		case errors.As(err, &wrong):
			step.Outcome, step.Detail = OutcomeRefused, join(wrong.Detail, step.Detail)
			if e.Outcome != OutcomeRefused {
				e.Outcome, e.Reason = OutcomeRefused, wrong.Reason
			}
			nobody = nobody || makesUser[check.name]
		case errors.Is(err, ErrNotReady):
			step.Outcome, step.Detail = OutcomeSkipped, "no keys of the issuer are in hand: the signature is not checked"
			if e.Outcome == OutcomeOK {
				e.Outcome = OutcomeSkipped
			}
		case err != nil:
			step.Outcome, step.Detail = OutcomeSkipped, "not looked at, because of what is said above"
		}
		e.Steps = append(e.Steps, step)
	}
	if v.issuer != nil {
		e.Issuer = v.issuer.spec.Issuer.URL
	}
	if v.idToken != nil {
		e.Expires = v.idToken.Expiry
		if !nobody {
			e.User = &v.user
		}
	}
	return e
}

// makesUser are the checks without which there is no user.
var makesUser = map[string]bool{"username": true, "groups": true, "uid": true, "extra": true}

// fetchKeys gets the issuer's keys for this verification alone.
func (v *verification) fetchKeys(ctx context.Context, now func() time.Time) Step {
	from := &keyFetcher{keyOrigin: v.issuer.source.keyOrigin}
	defer from.close()
	keys, err := from.fetch(ctx)
	if err != nil {
		return Step{"keys", OutcomeSkipped, "cannot be fetched: " + brief(err)}
	}
	v.ring = newKeyRing(now)
	v.ring.replace(keys)
	v.ring.stop()
	return Step{"keys", OutcomeOK, fmt.Sprintf("%d fetched from %s", len(keys), from.jwks)}
}
