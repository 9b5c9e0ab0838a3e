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
)

const (
	// reviewTimeout bounds a review with its retries; a session waits for it.
	reviewTimeout = 10 * time.Second
	// answerAge is how long an answer is remembered, yes and no alike. An API server remembers its webhook's for 5 min
	// and 30 s, because it asks for every request. edge asks once per session: 10 s are enough for a burst of them, as
	// a script or a flood makes, and a right that is taken away or given counts through edge about as soon as it does
	// without.
	answerAge = 10 * time.Second
	// maxAnswers bounds the memory; the answer that was not needed for longest makes room.
	maxAnswers = 4096
)

// A Reviewer asks the API server whether somebody may do something that the request as it is sent would not be asked
// for. It is for many goroutines, and for once per session or impersonation, not per frame. It starts no goroutine of
// its own.
type Reviewer struct {
	client  authorizationv1client.SubjectAccessReviewInterface
	timeout time.Duration
	slots   *slots
	answers *cache.LRUExpireCache // by question
	mu      sync.Mutex
	calls   map[string]*call // by question: the reviews under way, and those that wait for a slot
}

// NewReviewer makes a Reviewer that asks with edge's own identity, which needs create on subjectaccessreviews. A rate limit
// in the client counts against a review's time.
func NewReviewer(client authorizationv1client.SubjectAccessReviewInterface) *Reviewer {
	return &Reviewer{
		client: client, timeout: reviewTimeout, slots: newSlots(),
		answers: cache.NewLRUExpireCache(maxAnswers), calls: make(map[string]*call),
	}
}

// answer is what is remembered of a review: little, as there are thousands.
type answer struct {
	allowed bool
	reason  string // the authorizer's, if it gave one
}

// call is a question that somebody asks, for all who want to know at the same time. Until ready, the others wait.
//
// It is no singleflight.Group's. Nobody can leave its Do; a question of its DoChan runs in a goroutine of its own,
// which outlives the request: a client that asks to be somebody else and resets the stream, again and again, would have
// as many questions under way as it likes, and a panic in one of them would end the process. Here whoever asks first
// stays until there is an answer, so that the server's bound on a connection's handlers is one on its questions, too.
type call struct {
	ready chan struct{}
	given answer
	err   error
}

// Review returns nil if the identity may do what attrs says. If not, the error is the Status that the API server itself
// would send; if nobody knows, a [review.Error]. It takes 10 s at most.
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

// Ask returns the answer to one question, and a [review.Error] if there is none. It takes 10 s at most, and no longer
// than the context's deadline.
//
// Equal questions at the same time are one review. It goes on when the one who asked first leaves, for the others' sake: the
// end of that context by itself does not end it.
func (r *Reviewer) Ask(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, err error) {
	question, err := questionOf(spec)
	if err != nil {
		return false, "", err
	}
	r.mu.Lock()
	if known, ok := r.answers.Get(question); ok {
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

// lead asks for all who share the question.
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

func (r *Reviewer) ask(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (answer, error) {
	review, err := r.client.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, accessReview.Failed(err)
	}
	return answerOf(review.Status)
}

func answerOf(status authorizationv1.SubjectAccessReviewStatus) (answer, error) {
	if status.Allowed && !status.Denied {
		return answer{allowed: true}, nil
	}
	if status.EvaluationError != "" { // the API server would answer the request itself with a 500
		err := errors.New("evaluation error: " + status.EvaluationError)
		return answer{}, accessReview.Internal(err, "the API server could not evaluate it")
	}
	return answer{reason: status.Reason}, nil
}

// questionOf is the key of everything that is asked, of one size whatever a token says. JSON, in which a webhook is asked at
// the latest, turns what is not UTF-8 into another character, and so into a question about another name: it is not asked.
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
