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

// ExplainOptions limit what [Authenticator.Explain] may do.
type ExplainOptions struct {
	// Fetch lets Explain fetch the keys of the token's issuer, once, if edge has no keys of that
	// issuer. If Fetch is false and there are no keys, Explain does not check the signature.
	// Explain then causes no network request unless [Authenticator.Run] is running.
	Fetch bool
}

// An Outcome is the result of one check of an explained token, or of the whole explanation.
type Outcome string

// The outcomes of a check. A check is skipped if it is impossible, because keys are missing or an
// earlier check refused the token.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeRefused Outcome = "refused"
	OutcomeSkipped Outcome = "skipped"
)

// Step is one check of a token in an [Explanation], with its result.
type Step struct {
	Name    string
	Outcome Outcome
	Detail  string // what the check examined, in one line; it may quote single claims
}

// Explanation states whether a token is accepted, and why. It contains neither the token nor its
// signature, and not the whole payload.
type Explanation struct {
	Outcome Outcome  // refused if any step refused the token; else skipped if the signature was not checked
	Reason  Reason   // reason of the first refusal, the same that Authenticate returns
	Issuer  string   // URL of the token's issuer; empty: this issuer is not configured
	Issuers []string // all configured issuers, sorted
	Steps   []Step   // the checks in the order in which they ran
	// User is the user that the token's claims describe; nil if they describe none. The token
	// proves this user only if Outcome is ok.
	User    user.Info
	Expires time.Time // when the token expires; zero: unknown
}

// Explain runs all checks of [Authenticator.Authenticate] on a token, with the same code. After a
// refusal it continues with all checks that are still possible.
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
			step.Outcome, step.Detail = OutcomeSkipped, "no keys of the issuer are available: the signature is not checked"
			if e.Outcome == OutcomeOK {
				e.Outcome = OutcomeSkipped
			}
		case err != nil:
			step.Outcome, step.Detail = OutcomeSkipped, "not checked: an earlier check refused the token"
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

// makesUser contains the names of the checks that compute the user. If one of these checks refuses
// the token, there is no user.
var makesUser = map[string]bool{"username": true, "groups": true, "uid": true, "extra": true}

// fetchKeys fetches the issuer's keys for the explanation of this one token. Other tokens are not
// verified with these keys.
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
