package authn

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"edge/internal/metric"
	"edge/review"
)

// Metrics measure one Chain and its Authenticator. With nil nothing is measured.
type Metrics struct {
	metric.Set

	attempts, tokenCache, reloads *metric.Counter
	duration                      *metric.Histogram

	authenticator atomic.Pointer[Authenticator] // whose keys are reported when Prometheus asks; nil: none yet
}

// maxIssuers is the largest number of issuers that Kubernetes' validation of an
// AuthenticationConfiguration allows.
const maxIssuers = 64

// Values of the label authenticator that are not the place of an issuer. An issuer's value is
// issuer0 for the first issuer of the configuration.
const (
	byCertificate = "certificate"
	byReview      = "review"
	byAnonymous   = "anonymous"
	byNone        = "none" // no authenticator accepted the request, and its token names no configured issuer
)

// Values of the label result, beside each Reason.
const (
	resultSuccess      = "success"
	resultNoCredential = "no_credential"
	resultNotReady     = "not_ready"    // the issuer's keys are not available yet
	resultNoName       = "no_name"      // the user has no name
	resultTokenInURL   = "token_in_url" // the request's token is also in its URL
	resultReviewFailed = "review_failed"
	resultFailure      = "failure"
	resultHit          = "hit"
	resultMiss         = "miss"
)

var (
	authenticatorLabel = metric.Label{Name: "authenticator", Values: append(issuerNames(), byCertificate, byReview, byAnonymous, byNone)}
	issuerLabel        = metric.Label{Name: "issuer", Values: issuerNames()}
	attemptLabel       = metric.Label{Name: "result", Values: attemptResults()}
	workedLabel        = metric.Label{Name: "result", Values: []string{resultSuccess, resultFailure}}
	foundLabel         = metric.Label{Name: "result", Values: []string{resultHit, resultMiss}}
)

// issuerName returns the value of a label for an issuer by its place in the configuration, from 1.
func issuerName(place int) string { return "issuer" + strconv.Itoa(place-1) }

func issuerNames() []string {
	names := make([]string, maxIssuers)
	for i := range names {
		names[i] = issuerName(i + 1)
	}
	return names
}

func attemptResults() []string {
	results := []string{
		resultSuccess, resultNoCredential, resultNotReady, resultNoName, resultTokenInURL, resultReviewFailed, metric.Other,
	}
	for _, r := range Reasons {
		results = append(results, string(r))
	}
	return results
}

// attemptBuckets range from a cached token to a review by an API server that does not answer, in
// seconds.
var attemptBuckets = []float64{0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 10}

// NewMetrics returns the metrics of one Chain and its Authenticator.
func NewMetrics() *Metrics {
	m := &Metrics{}
	m.attempts = m.Counter(metric.Opts{
		Name: "edge_authentication_attempts_total", Labels: []metric.Label{authenticatorLabel, attemptLabel},
		Help: "Requests by the authenticator that decided about them and by the result. issuer0 is the first issuer of the configuration.",
	})
	m.duration = m.Histogram(metric.Opts{
		Name: "edge_authentication_duration_seconds", Buckets: attemptBuckets,
		Help: "Time to authenticate a request, with the wait for keys or a token review.",
	})
	m.tokenCache = m.Counter(metric.Opts{
		Name: "edge_authentication_token_cache_total", Zeros: true, Labels: []metric.Label{foundLabel},
		Help: "Tokens that were looked up in the cache of verified tokens.",
	})
	m.reloads = m.Counter(metric.Opts{
		Name: "edge_authentication_config_reloads_total", Zeros: true, Labels: []metric.Label{workedLabel},
		Help: "Changes of the file of --authentication-config that edge adopted (success) or refused (failure).",
	})
	m.addComputed()
	return m
}

// addComputed adds the metrics that are computed from the issuers' keys when Prometheus asks for
// them.
func (m *Metrics) addComputed() {
	m.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_issuer_key_fetches_total", Labels: []metric.Label{issuerLabel, workedLabel},
		Help: "Fetches of an issuer's keys.",
	}, func(report func(float64, ...string)) {
		m.authenticator.Load().eachKeySource(func(place int, stats fetchStats) {
			report(float64(stats.succeeded), issuerName(place), resultSuccess)
			report(float64(stats.failed), issuerName(place), resultFailure)
		})
	})
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_authentication_config_last_reload_successful",
		Help: "1 if the current file of --authentication-config is in use, 0 if edge refuses it and uses the one before.",
	}, func(report func(float64, ...string)) {
		switch a := m.authenticator.Load(); {
		case a == nil || a.options.File == "":
		case a.config.warning() == "":
			report(1)
		default:
			report(0)
		}
	})
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_issuer_keys_last_fetch_timestamp_seconds", Labels: []metric.Label{issuerLabel},
		Help: "When an issuer's keys were fetched last, in Unix time. Without a series: never.",
	}, func(report func(float64, ...string)) {
		m.authenticator.Load().eachKeySource(func(place int, stats fetchStats) {
			if !stats.newest.IsZero() {
				report(float64(stats.newest.UnixMilli())/1e3, issuerName(place))
			}
		})
	})
}

// eachKeySource calls visit for each issuer of the configuration that is in use. A nil
// Authenticator has none.
func (a *Authenticator) eachKeySource(visit func(place int, stats fetchStats)) {
	if a == nil {
		return
	}
	for i, place := range a.rules.Load().places {
		visit(place, i.source.fetchStats())
	}
}

// reloaded counts a changed configuration file. With a nil Metrics it does nothing.
func (m *Metrics) reloaded(result string) {
	if m != nil {
		m.reloads.With(result).Inc()
	}
}

// attempt counts a request that a Chain has authenticated or refused.
func (m *Metrics) attempt(who Result, err error, took time.Duration) {
	m.duration.With().Observe(took.Seconds())
	m.attempts.With(authenticatorOf(who, err), resultOf(err)).Inc()
}

func authenticatorOf(who Result, err error) string {
	if known, ok := errors.AsType[*RefusedError](err); ok && known.Issuer != 0 {
		return issuerName(known.Issuer)
	}
	switch {
	case err != nil:
		return byNone
	case who.Reviewed:
		return byReview
	case who.Kind == Certificate:
		return byCertificate
	case who.Kind == Anonymous:
		return byAnonymous
	}
	return issuerName(who.issuer)
}

func resultOf(err error) string {
	if err == nil {
		return resultSuccess
	}
	if known, ok := errors.AsType[*RefusedError](err); ok {
		return string(known.Reason)
	}
	if errors.As(err, new(*review.Error)) {
		return resultReviewFailed
	}
	for known, result := range map[error]string{
		ErrNoCredential: resultNoCredential, ErrNotReady: resultNotReady, ErrNoName: resultNoName, ErrTokenInURL: resultTokenInURL,
	} {
		if errors.Is(err, known) {
			return result
		}
	}
	return metric.Other
}

// cached counts whether a token was in the cache. With a nil Metrics it does nothing.
func (m *Metrics) cached(hit bool) {
	switch {
	case m == nil:
	case hit:
		m.tokenCache.With(resultHit).Inc()
	default:
		m.tokenCache.With(resultMiss).Inc()
	}
}
