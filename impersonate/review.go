package impersonate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

const (
	// reviewTimeout bounds a review with its retries; a session waits for it.
	reviewTimeout = 10 * time.Second
	// answerAge is how long an answer is remembered, yes and no alike. An API server remembers its webhook's for 5 min and 30 s,
	// because it asks for every request. edge asks once per session: 10 s are enough for a burst of them, as a script or a flood
	// makes, and a right that is taken away or given counts through edge about as soon as it does without.
	answerAge = 10 * time.Second
	// maxAnswers bounds the memory; the answer that was not needed for longest makes room.
	maxAnswers = 4096
)

// A Reviewer asks the API server whether an identity may do something that the request as it is sent would not be asked for.
// It is for many goroutines, and for once per session, not per frame. It starts no goroutine of its own.
type Reviewer struct {
	client  authorizationv1client.SubjectAccessReviewInterface
	timeout time.Duration
	sharing singleflight.Group
	answers *cache.LRUExpireCache // by question
}

// NewReviewer makes a Reviewer that asks with edge's own identity, which needs create on subjectaccessreviews. A rate limit
// in the client counts against a review's time.
func NewReviewer(client authorizationv1client.SubjectAccessReviewInterface) *Reviewer {
	return &Reviewer{client: client, timeout: reviewTimeout, answers: cache.NewLRUExpireCache(maxAnswers)}
}

// answer is what is remembered of a review: little, as there are thousands.
type answer struct {
	allowed bool
	reason  string // the authorizer's, if it gave one
}

// Review returns nil if the identity may do what attrs says. If not, the error is the Status that the API server itself
// would send; if nobody knows, a [ReviewError]. It takes 10 s at most.
//
// Equal questions at the same time are one review. It goes on when one who waits for it leaves, for the others' sake: the
// context's end does not end it.
func (r *Reviewer) Review(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
	spec := authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &attrs,
		User:               id.Name, UID: id.UID, Groups: id.groupsUpstream(), Extra: id.extraUpstream(),
	}
	question, err := questionOf(spec)
	if err != nil {
		return err
	}
	got, err, _ := r.sharing.Do(question, func() (any, error) {
		if known, ok := r.answers.Get(question); ok {
			return known, nil
		}
		given, err := r.ask(context.WithoutCancel(ctx), spec)
		if err == nil {
			r.answers.Add(question, given, answerAge)
		}
		return given, err
	})
	if err != nil {
		return err
	}
	if given := got.(answer); !given.allowed {
		return forbidden(id.Name, attrs, given.reason)
	}
	return nil
}

func (r *Reviewer) ask(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	review, err := r.client.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, reviewFailed(err)
	}
	status := review.Status
	if status.Allowed && !status.Denied {
		return answer{allowed: true}, nil
	}
	if status.EvaluationError != "" { // the API server would answer the request itself with a 500
		return answer{}, notEvaluated(status.EvaluationError)
	}
	return answer{reason: status.Reason}, nil
}

// errNotText: the review would be about somebody or something else.
var errNotText = errors.New("a name in it is not valid UTF-8")

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
		return "", notAsked(errNotText)
	}
	sum := sha256.Sum256(text)
	return string(sum[:]), nil
}
