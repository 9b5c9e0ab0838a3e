package impersonate

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxReviews bounds the access reviews that run at the API server at the same time, about all
	// users together. slotTimeout bounds the time that a review waits until it may start.
	maxReviews  = 64
	slotTimeout = time.Second
	// maxReviewsEach bounds the access reviews about one user that run at the same time. A user who
	// floods edge with impersonation requests must not block other users.
	maxReviewsEach = 16
)

// slots bounds the running access reviews. Each review takes one of its user's maxReviewsEach
// slots, and one of the maxReviews slots for all users.
type slots struct {
	all     *semaphore.Weighted
	timeout time.Duration

	mu    sync.Mutex
	users map[string]*userSlots // key: user name; contains only users with reviews that run or wait for a slot
}

// userSlots are the slots for access reviews about one user.
type userSlots struct {
	*semaphore.Weighted
	refs int // number of reviews that use this entry; guarded by slots.mu
}

func newSlots() *slots {
	return &slots{all: semaphore.NewWeighted(maxReviews), timeout: slotTimeout, users: make(map[string]*userSlots)}
}

// do is the method that waits for a slot for a review about the parameter user, calls the function
// ask, which sends the review, and releases the slot afterwards. The error is a 429 if no slot
// becomes free in time.
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

// acquire waits for a slot, but only for slotTimeout. So a client that floods edge with questions
// does not flood the API server, and soon receives a 429.
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
