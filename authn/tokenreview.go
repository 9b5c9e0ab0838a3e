package authn

import (
	"context"
	"crypto/sha256"
	"errors"
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

	"edge/internal/tracing"
	"edge/review"
)

const (
	// reviewTimeout bounds a token review, together with its wait for a turn and its retries. The
	// client's request waits for the review.
	reviewTimeout = 10 * time.Second
	// hitAge is how long edge caches an accepted token. kube-apiserver caches an accepted token for
	// the same time (TokenSuccessCacheTTL).
	hitAge = 10 * time.Second
	// missAge is how long edge caches a refused token. It is shorter than hitAge, because a refusal
	// may soon be wrong: the client may use a token before every API server has the token's key, or
	// a webhook of the API server had a short outage. Within missAge, a client that repeats a bad
	// token causes only one review.
	missAge = 5 * time.Second
	// maxHits and maxMisses bound the cache of accepted tokens and the cache of refused tokens. The
	// caches are separate, so that bad tokens never evict a good one, however many bad ones come.
	maxHits   = 4096
	maxMisses = 4096
	// maxHitBytes bounds the text of a cached user, in bytes: 64 MiB for the whole cache.
	maxHitBytes = 16 << 10
	// maxReviews bounds the reviews that run at one time, and so the load that a flood of different
	// tokens puts on the API server.
	maxReviews = 32
	// maxWaitingReviews bounds the reviews that wait for one of maxReviews turns. edge answers a
	// request that needs one more review with 429.
	maxWaitingReviews = 256
)

// ReasonReview is the reason of a refusal if no configured issuer and also not the API server
// accepts the token.
const ReasonReview Reason = "review"

// A TokenReviewer asks the API server for the user of a token, with a TokenReview. It is safe for
// concurrent use and starts no goroutine.
type TokenReviewer struct {
	client    authenticationv1client.TokenReviewInterface
	audiences []string
	log       *slog.Logger
	metrics   *review.Metrics
	timeout   time.Duration

	sharing      singleflight.Group
	hits, misses *cache.LRUExpireCache // caches of accepted tokens (user.Info) and refused tokens (*RefusedError); key: the token's digest
	turns        chan struct{}         // contains one element for each running token review; capacity maxReviews
	waiting      atomic.Int64          // number of token reviews that wait, because maxReviews reviews are running
	failing      atomic.Bool           // whether the newest log line about reviews reports a failure
}

// NewTokenReviewer creates a TokenReviewer that uses edge's own identity. edge's identity needs the
// right to create tokenreviews. If audiences is empty, the API server checks a token for the API
// server's own audiences. If client has a rate limit, waiting for the rate limit counts towards the
// timeout of a review.
func NewTokenReviewer(client authenticationv1client.TokenReviewInterface, audiences []string, log *slog.Logger) *TokenReviewer {
	return &TokenReviewer{
		client: client, audiences: slices.Clone(audiences), log: log, timeout: reviewTimeout,
		hits: cache.NewLRUExpireCache(maxHits), misses: cache.NewLRUExpireCache(maxMisses),
		turns: make(chan struct{}, maxReviews),
	}
}

// Measure sets the metrics of the reviews. Call it before the first review.
func (r *TokenReviewer) Measure(m *review.Metrics) { r.metrics = m }

// Review returns the user that the API server finds for a token. Several requests share the user:
// read it only. The error is a [RefusedError], or an [edge/review.Error] if the review gave no
// answer. Review takes at most 10 s.
//
// Concurrent reviews of the same token are sent as one. All callers depend on that review, so the
// end of one caller's ctx ends neither the review nor Review itself.
func (r *TokenReviewer) Review(ctx context.Context, token string) (user.Info, error) {
	switch {
	case len(token) > MaxTokenBytes:
		return nil, errTooLarge
	case !isVisible(token):
		return nil, errNotReviewable
	}
	sum := sha256.Sum256([]byte(token))
	id := string(sum[:])
	u, known, err := r.recall(id)
	r.metrics.LookedUp(review.KindToken, known)
	if known {
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

// recall returns the result of an earlier token review, if it is in one of the caches.
func (r *TokenReviewer) recall(id string) (u user.Info, known bool, err error) {
	if hit, ok := r.hits.Get(id); ok {
		return hit.(user.Info), true, nil
	}
	if miss, ok := r.misses.Get(id); ok {
		return nil, true, miss.(*RefusedError)
	}
	return nil, false, nil
}

// remember caches the result of a token review: an accepted or a refused token. If err is another
// error, remember caches nothing, and the next request asks the API server again.
func (r *TokenReviewer) remember(id string, u user.Info, err error) {
	if no, ok := errors.AsType[*RefusedError](err); ok {
		r.misses.Add(id, no, missAge)
	} else if err == nil && sizeOf(u) <= maxHitBytes {
		r.hits.Add(id, u, hitAge)
	}
}

func (r *TokenReviewer) ask(ctx context.Context, token string) (u user.Info, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if !r.takeTurn(ctx) {
		return nil, errReviewsBusy
	}
	defer func() { <-r.turns }()
	question := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: r.audiences}}
	ctx, end := tracing.Call(ctx, tracing.TokenReview)
	start, result := time.Now(), review.NoReply
	defer func() {
		r.metrics.Sent(review.KindToken, result, time.Since(start))
		if result != review.NoReply {
			end(0, nil) // the review itself has not failed, also if it refuses the token
		} else {
			end(0, err)
		}
	}()
	answered, err := r.client.Create(ctx, question, metav1.CreateOptions{})
	if err != nil {
		failed := tokenReview.Failed(err)
		r.report(failed.Err)
		return nil, failed
	}
	r.report(nil)
	u, err = r.judge(answered.Status)
	if result = review.Allowed; err != nil {
		result = review.Denied
	}
	return u, err
}

// judge returns the user of the API server's answer to a token review, or an error. The error does
// not repeat the answer's text, which may quote the token.
func (r *TokenReviewer) judge(status authenticationv1.TokenReviewStatus) (user.Info, error) {
	if !status.Authenticated || status.Error != "" {
		return nil, errReviewedNo
	}
	// The API server must confirm one of the requested audiences in its answer. If the answer
	// contains none of them, the API server has not checked the token for these audiences (see
	// TokenReviewStatus.audiences).
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

// takeTurn waits for one of maxReviews turns. A turn is the permission to send one token review.
// takeTurn returns false at once if maxWaitingReviews reviews wait already.
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

// report logs a line when token reviews begin to fail, and when they succeed again.
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

// isVisible reports whether a token has only visible ASCII characters, so that it can be one word
// in Authorization. The API server reviews only the first word of a token, and JSON cannot carry
// bytes that are not UTF-8. In both cases the API server would review another token.
func isVisible(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return token != ""
}

// sizeOf returns the number of bytes of a user's name, UID, groups and extras.
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
