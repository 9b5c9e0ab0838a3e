package authn

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

const (
	// reviewTimeout bounds a review with its wait for a turn and its retries; a request waits for it.
	reviewTimeout = 10 * time.Second
	// hitAge is how long a yes is remembered: as long as kube-apiserver itself remembers one (TokenSuccessCacheTTL).
	hitAge = 10 * time.Second
	// missAge is how long a no is remembered. It is shorter, because a no can be wrong soon: a token is used before each API
	// server has its key, or what the API server asks had a moment's trouble. Whoever repeats a bad token is still one review.
	missAge = 5 * time.Second
	// maxHits and maxMisses bound the memory, each for itself: however many bad tokens come, none makes a good one forgotten.
	maxHits   = 4096
	maxMisses = 4096
	// maxHitBytes bounds the text of a user that is remembered: 64 MiB in all.
	maxHitBytes = 16 << 10
	// maxReviews bounds the reviews that are under way at once, and so what a flood of different tokens costs the API server.
	maxReviews = 32
	// maxWaitingReviews bounds those that wait for a turn; one more is told to come back later.
	maxWaitingReviews = 256
)

// ReasonReview: the API server does not accept the token either.
const ReasonReview Reason = "review"

// A TokenReviewer asks the API server whose token it is, by TokenReview. It is for many goroutines, and starts none.
type TokenReviewer struct {
	client    authenticationv1client.TokenReviewInterface
	audiences []string
	log       *slog.Logger
	timeout   time.Duration

	sharing      singleflight.Group
	hits, misses *cache.LRUExpireCache // user.Info and refusals, by the token's digest
	turns        chan struct{}         // filled by the reviews that are under way
	waiting      atomic.Int64          // reviews without a turn
	failing      atomic.Bool           // what was logged last
}

// NewTokenReviewer makes a TokenReviewer that asks with edge's own identity, which needs create on tokenreviews. Without
// audiences the API server's own count. A rate limit in the client counts against a review's time.
func NewTokenReviewer(client authenticationv1client.TokenReviewInterface, audiences []string, log *slog.Logger) *TokenReviewer {
	return &TokenReviewer{
		client: client, audiences: slices.Clone(audiences), log: log, timeout: reviewTimeout,
		hits: cache.NewLRUExpireCache(maxHits), misses: cache.NewLRUExpireCache(maxMisses),
		turns: make(chan struct{}, maxReviews),
	}
}

// Review returns the user that the API server sees in a token; read it only, it is shared. The error is a [RefusedError], or an
// [edge/review.Error] where nobody knows. It takes 10 s at most.
//
// Reviews of one token at the same time are one. It goes on when one who waits for it leaves, for the others' sake: the
// context's end does not end it.
func (r *TokenReviewer) Review(ctx context.Context, token string) (user.Info, error) {
	switch {
	case len(token) > MaxTokenBytes:
		return nil, errTooLarge
	case !isVisible(token):
		return nil, errNotReviewable
	}
	sum := sha256.Sum256([]byte(token))
	id := string(sum[:])
	if u, known, err := r.recall(id); known {
		return u, err
	}
	got, err, _ := r.sharing.Do(id, func() (any, error) {
		if u, known, err := r.recall(id); known {
			return u, err
		}
		u, err := r.ask(context.WithoutCancel(ctx), token)
		r.remember(id, u, err)
		return u, err
	})
	if err != nil {
		return nil, err
	}
	return got.(user.Info), nil
}

// recall returns what is known of a token.
func (r *TokenReviewer) recall(id string) (u user.Info, known bool, err error) {
	if hit, ok := r.hits.Get(id); ok {
		return hit.(user.Info), true, nil
	}
	if miss, ok := r.misses.Get(id); ok {
		return nil, true, miss.(*RefusedError)
	}
	return nil, false, nil
}

// remember keeps a yes and a no. What is neither is asked again.
func (r *TokenReviewer) remember(id string, u user.Info, err error) {
	if no, ok := err.(*RefusedError); ok {
		r.misses.Add(id, no, missAge)
	} else if err == nil && sizeOf(u) <= maxHitBytes {
		r.hits.Add(id, u, hitAge)
	}
}

func (r *TokenReviewer) ask(ctx context.Context, token string) (user.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if !r.takeTurn(ctx) {
		return nil, errReviewsBusy
	}
	defer func() { <-r.turns }()
	question := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: r.audiences}}
	review, err := r.client.Create(ctx, question, metav1.CreateOptions{})
	if err != nil {
		failed := tokenReview.Failed(err)
		r.report(failed.Err)
		return nil, failed
	}
	r.report(nil)
	return r.judge(review.Status)
}

// judge reads an answer. What it says in words is not repeated: it may quote the token.
func (r *TokenReviewer) judge(status authenticationv1.TokenReviewStatus) (user.Info, error) {
	if !status.Authenticated || status.Error != "" {
		return nil, errReviewedNo
	}
	// An answer without audiences comes from who did not look at those that were asked for (TokenReviewStatus.audiences).
	asked := func(audience string) bool { return slices.Contains(r.audiences, audience) }
	if len(r.audiences) > 0 && !slices.ContainsFunc(status.Audiences, asked) {
		return nil, errReviewedAway
	}
	u := &user.DefaultInfo{Name: status.User.Username, UID: status.User.UID, Groups: status.User.Groups}
	if len(status.User.Extra) > 0 {
		u.Extra = make(map[string][]string, len(status.User.Extra))
		for key, values := range status.User.Extra {
			u.Extra[key] = values
		}
	}
	return u, nil
}

// takeTurn waits for one of maxReviews turns, unless as many wait already.
func (r *TokenReviewer) takeTurn(ctx context.Context) bool {
	select {
	case r.turns <- struct{}{}:
		return true
	default:
	}
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > maxWaitingReviews {
		return false
	}
	select {
	case r.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// report logs each change between reviews that work and reviews that do not.
func (r *TokenReviewer) report(err error) {
	failing := err != nil
	if r.failing.Swap(failing) == failing {
		return
	}
	if failing {
		r.log.Warn("token reviews fail", slog.String("error", brief(err)))
	} else {
		r.log.Info("token reviews work again")
	}
}

// isVisible reports whether a token can stand in Authorization as one word. The API server reviews the first word of what it
// gets, and JSON has no way to say what is not UTF-8: either would be a review of another token.
func isVisible(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return token != ""
}

// sizeOf counts the bytes of a user's texts.
func sizeOf(u user.Info) int {
	n := len(u.GetName()) + len(u.GetUID())
	for _, group := range u.GetGroups() {
		n += len(group)
	}
	for key, values := range u.GetExtra() {
		n += len(key)
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}
