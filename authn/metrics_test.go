package authn

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/internal/testkit"
	"edge/review"
)

// TestEveryResultIsCounted checks by which authenticator and result a request counts.
func TestEveryResultIsCounted(t *testing.T) {
	jane := &user.DefaultInfo{Name: "jane"}
	type attempt struct {
		who  Result
		err  error
		want [2]string // authenticator and result
	}
	attempts := []attempt{
		{Result{User: jane, Kind: BearerToken, issuer: 1}, nil, [2]string{"issuer0", "success"}},
		{Result{User: jane, Kind: BearerToken, issuer: maxIssuers}, nil, [2]string{"issuer63", "success"}},
		{Result{User: jane, Kind: BearerToken, Reviewed: true}, nil, [2]string{"review", "success"}},
		{Result{User: jane, Kind: Certificate}, nil, [2]string{"certificate", "success"}},
		{Result{User: jane}, nil, [2]string{"anonymous", "success"}},
		{Result{}, fmt.Errorf("a: %w", ErrNoCredential), [2]string{"none", "no_credential"}},
		{Result{}, fmt.Errorf("a: %w", ErrNotReady), [2]string{"none", "not_ready"}},
		{Result{}, ErrNoName, [2]string{"none", "no_name"}},
		{Result{}, ErrTokenInURL, [2]string{"none", "token_in_url"}},
		{Result{}, fmt.Errorf("a: %w", &review.Error{}), [2]string{"none", "review_failed"}},
		{Result{}, errors.New("a new one"), [2]string{"none", "other"}},
	}
	for _, reason := range Reasons {
		attempts = append(attempts,
			attempt{Result{}, &RefusedError{Reason: reason}, [2]string{"none", string(reason)}},
			attempt{Result{}, fmt.Errorf("a: %w", &RefusedError{Reason: reason, Issuer: 2}), [2]string{"issuer1", string(reason)}})
	}
	m := NewMetrics()
	for i, a := range attempts {
		m.attempt(a.who, a.err, 0)
		if got := testkit.MetricValue(t, m, "edge_authentication_attempts_total", "authenticator="+a.want[0], "result="+a.want[1]); got != 1 {
			t.Errorf("%v %v: %v requests count as %v", a.who.Kind, a.err, got, a.want)
		}
		if all := testkit.MetricValue(t, m, "edge_authentication_duration_seconds"); all != float64(i+1) {
			t.Errorf("%v durations of %d requests", all, i+1)
		}
	}
	for _, l := range m.Reference()[0].Labels {
		for _, value := range l.Values {
			if l.Name == "result" && testkit.MetricValue(t, m, "edge_authentication_attempts_total", "result="+value) == 0 {
				t.Errorf("no request has the result %s", value)
			}
		}
	}
}
