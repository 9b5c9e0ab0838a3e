package review

import (
	"time"

	"edge/internal/metric"
)

// Metrics measure the reviews that edge sends to the API server. With nil nothing is measured.
type Metrics struct {
	metric.Set

	sent, lookups *metric.Counter
	duration      *metric.Histogram
}

// Values of the label kind.
const (
	KindAccess = "access" // a SubjectAccessReview
	KindToken  = "token"  // a TokenReview
)

// A Result is the API server's answer to a review, as the value of a label.
type Result string

// The results of a review.
const (
	Allowed Result = "allowed"
	Denied  Result = "denied"
	NoReply Result = "failed" // there is no answer, or it cannot be used
)

const (
	hit  = "hit"
	miss = "miss"
)

// reviewBuckets range from an API server nearby to the timeout of a review, in seconds.
var reviewBuckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// NewMetrics returns the metrics of all reviews of one edge.
func NewMetrics() *Metrics {
	kind := metric.Label{Name: "kind", Values: []string{KindAccess, KindToken}}
	m := &Metrics{}
	m.sent = m.Counter(metric.Opts{
		Name: "edge_reviews_total", Zeros: true, Labels: []metric.Label{kind, {Name: "result", Values: []string{string(Allowed), string(Denied), string(NoReply)}}},
		Help: "Reviews that edge sent to the API server: SubjectAccessReviews (access) and TokenReviews (token).",
	})
	m.duration = m.Histogram(metric.Opts{
		Name: "edge_review_duration_seconds", Labels: []metric.Label{kind}, Buckets: reviewBuckets,
		Help: "Time from the sending of a review to its answer.",
	})
	m.lookups = m.Counter(metric.Opts{
		Name: "edge_review_cache_total", Zeros: true, Labels: []metric.Label{kind, {Name: "result", Values: []string{hit, miss}}},
		Help: "Questions that were looked up in the cache of answers.",
	})
	return m
}

// Sent counts a review that was sent. With a nil Metrics it does nothing.
func (m *Metrics) Sent(kind string, result Result, took time.Duration) {
	if m != nil {
		m.sent.With(kind, string(result)).Inc()
		m.duration.With(kind).Observe(took.Seconds())
	}
}

// LookedUp counts a question, and whether its answer was in the cache. With a nil Metrics it does
// nothing.
func (m *Metrics) LookedUp(kind string, found bool) {
	switch {
	case m == nil:
	case found:
		m.lookups.With(kind, hit).Inc()
	default:
		m.lookups.With(kind, miss).Inc()
	}
}
