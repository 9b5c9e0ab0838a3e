package impersonate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"edge/internal/tracing"
	"edge/review"
)

const (
	// reviewTimeout bounds an access review with its retries. A new session waits for the review.
	reviewTimeout = 10 * time.Second
	// answerAge is how long edge caches the answer to an access review, yes or no. The API server
	// itself caches a webhook's yes for 5 min and a no for 30 s, because it needs an answer for
	// each request. edge needs an answer only for each session, so 10 s are enough for the bursts
	// of a script or a flood. With this short time, a right that is granted or revoked takes effect
	// through edge about as soon as without edge.
	answerAge = 10 * time.Second
	// maxAnswers bounds the number of cached answers to access reviews. The least recently used
	// answer is evicted.
	maxAnswers = 4096
)

// A Reviewer asks the API server whether a user may do something that the API server does not check
// for the request itself. It is meant for one review per session or impersonation, not per frame of
// a stream. It is safe for concurrent use and starts no goroutine of its own.
type Reviewer struct {
	client  authorizationv1client.SubjectAccessReviewInterface
	metrics *review.Metrics
	timeout time.Duration
	slots   *slots
	answers *cache.LRUExpireCache // cached answers; key: see questionOf
	mu      sync.Mutex
	calls   map[string]*call // running and waiting reviews; key: see questionOf; guarded by mu
}

// NewReviewer creates a Reviewer that uses edge's own identity. edge's identity needs the right to
// create subjectaccessreviews. If client has a rate limit, waiting for the rate limit counts
// towards the timeout of a review.
func NewReviewer(client authorizationv1client.SubjectAccessReviewInterface) *Reviewer {
	return &Reviewer{
		client: client, timeout: reviewTimeout, slots: newSlots(),
		answers: cache.NewLRUExpireCache(maxAnswers), calls: make(map[string]*call),
	}
}

// Measure sets the metrics of the reviews. Call it before the first review.
func (r *Reviewer) Measure(m *review.Metrics) { r.metrics = m }

// answer is the part of an access review that edge caches. It is small, because edge caches
// thousands.
type answer struct {
	allowed bool
	reason  string // the authorizer's reason for the answer; empty: it gave none
}

// call is one review that all concurrent callers with the same question share. The first caller
// sends it; all other callers wait until ready is closed.
//
// call replaces singleflight.Group. A caller of Group.Do cannot leave it early. With Group.DoChan,
// the review runs in a goroutine of its own, which outlives the request. A client that impersonates
// and resets the stream, again and again, could have any number of reviews running, and a panic in
// one of them would end the process. With call, the first caller stays until there is an answer. So
// the server's limit on a connection's handlers also limits the reviews that the connection causes.
type call struct {
	ready chan struct{}
	given answer
	err   error
}

// Review returns nil if the identity may do what attrs describes. If the identity may not, the
// error is the Status that the API server itself would send. If the review has no answer, the error
// is a [review.Error]. Review takes at most 10 s.
func (r *Reviewer) Review(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
	spec := authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &attrs,
		User:               id.Name, UID: id.UID, Groups: id.groupsUpstream(), Extra: id.extraUpstream(),
	}
	allowed, reason, err := r.Ask(ctx, spec)
	if err == nil && !allowed {
		err = refusal(spec, reason)
	}
	return err
}

// Ask returns the answer to one question, or a [review.Error] if there is none. It takes at most 10
// s, and it ends at the deadline of ctx.
//
// Concurrent equal questions are sent as one review. The first caller sends it on behalf of all, so
// cancelling that caller's ctx does not end it. The other callers stop waiting when their ctx ends.
func (r *Reviewer) Ask(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, err error) {
	question, err := questionOf(spec)
	if err != nil {
		return false, "", err
	}
	r.mu.Lock()
	known, cached := r.answers.Get(question)
	r.metrics.LookedUp(review.KindAccess, cached)
	if cached {
		r.mu.Unlock()
		return known.(answer).allowed, known.(answer).reason, nil
	}
	shared, ok := r.calls[question]
	if !ok {
		shared = &call{ready: make(chan struct{})}
		r.calls[question] = shared
	}
	r.mu.Unlock()
	if !ok {
		r.lead(ctx, question, spec, shared)
	} else {
		select {
		case <-shared.ready:
		case <-ctx.Done():
			return false, "", tookTooLong(ctx.Err())
		}
	}
	return shared.given.allowed, shared.given.reason, shared.err
}

// lead sends the review on behalf of all callers that share the question, and gives them the
// answer.
func (r *Reviewer) lead(ctx context.Context, question string, spec authorizationv1.SubjectAccessReviewSpec, shared *call) {
	shared.err = errUnasked
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if shared.err == nil {
			r.answers.Add(question, shared.given, answerAge)
		}
		delete(r.calls, question)
		close(shared.ready)
	}()
	end := time.Now().Add(r.timeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	alone, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancel()
	shared.err = r.slots.do(alone, spec.User, func() (err error) {
		shared.given, err = r.ask(alone, spec)
		return err
	})
}

func (r *Reviewer) ask(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (given answer, err error) {
	ctx, end := tracing.Call(ctx, tracing.AccessReview)
	start, result := time.Now(), review.NoReply
	defer func() {
		r.metrics.Sent(review.KindAccess, result, time.Since(start))
		end(0, err)
	}()
	answered, err := r.client.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, accessReview.Failed(err)
	}
	given, err = answerOf(answered.Status)
	switch {
	case err != nil:
	case given.allowed:
		result = review.Allowed
	default:
		result = review.Denied
	}
	return given, err
}

func answerOf(status authorizationv1.SubjectAccessReviewStatus) (answer, error) {
	if status.Allowed && !status.Denied {
		return answer{allowed: true}, nil
	}
	if status.EvaluationError != "" { // for such an error the API server would answer the request itself with 500
		err := errors.New("evaluation error: " + status.EvaluationError)
		return answer{}, accessReview.Internal(err, "the API server could not evaluate it")
	}
	return answer{reason: status.Reason}, nil
}

// questionOf returns the key of a review in the caches: a hash of the whole review, so that all
// keys have the same size. It returns an error for a name that is not UTF-8. A review is sent to a
// webhook as JSON, which replaces such bytes by another character. The review would be about
// another name then.
func questionOf(spec authorizationv1.SubjectAccessReviewSpec) (string, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	var read authorizationv1.SubjectAccessReviewSpec
	if err := json.Unmarshal(text, &read); err != nil {
		return "", err
	}
	if !equality.Semantic.DeepEqual(spec, read) {
		return "", accessReview.NotAsked(errNotText)
	}
	sum := sha256.Sum256(text)
	return string(sum[:]), nil
}
