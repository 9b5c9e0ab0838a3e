package impersonate

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxReviews bounds the reviews that are under way at the API server, whoever asks, and slotTimeout the wait for a slot
	// among them.
	maxReviews  = 64
	slotTimeout = time.Second
	// maxReviewsEach bounds those about one user: who floods edge with impersonation requests is not to keep others waiting.
	maxReviewsEach = 16
)

// slots bounds the reviews that are under way. Each takes one of its user's slots and one of all.
type slots struct {
	all     *semaphore.Weighted
	timeout time.Duration

	mu    sync.Mutex
	users map[string]*userSlots // by name: those who have reviews under way, or waiting for a slot
}

// userSlots are one user's part.
type userSlots struct {
	*semaphore.Weighted
	refs int // who hold it, under the slots' mu
}

func newSlots() *slots {
	return &slots{all: semaphore.NewWeighted(maxReviews), timeout: slotTimeout, users: make(map[string]*userSlots)}
}

// do calls ask when there is a slot for it, and releases that after. The error is a 429 if there is none in time.
func (s *slots) do(ctx context.Context, user string, ask func() error) error {
	mine := s.join(user)
	defer s.leave(user, mine)
	if err := s.acquire(ctx, mine.Weighted); err != nil {
		return err
	}
	defer mine.Release(1)
	if err := s.acquire(ctx, s.all); err != nil {
		return err
	}
	defer s.all.Release(1)
	return ask()
}

// acquire waits for a slot, but not for long: who floods edge with questions is not to flood the API server, and is
// told so soon.
func (s *slots) acquire(ctx context.Context, from *semaphore.Weighted) error {
	if from.TryAcquire(1) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if from.Acquire(ctx, 1) != nil {
		return accessReview.Busy(errBusy)
	}
	return nil
}

func (s *slots) join(user string) *userSlots {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine, ok := s.users[user]
	if !ok {
		mine = &userSlots{Weighted: semaphore.NewWeighted(maxReviewsEach)}
		s.users[user] = mine
	}
	mine.refs++
	return mine
}

func (s *slots) leave(user string, mine *userSlots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine.refs--; mine.refs == 0 {
		delete(s.users, user)
	}
}
