package impersonate

import (
	"errors"
	"fmt"
	"testing"

	"edge/review"
)

// TestIsUnanswered checks that IsUnanswered distinguishes an access review without an answer from a
// refusal, and from a review error of another package.
func TestIsUnanswered(t *testing.T) {
	cause := errors.New("x")
	other := *accessReview
	for _, c := range []struct {
		err  error
		want bool
	}{
		{accessReview.Failed(cause), true},
		{fmt.Errorf("wrapped: %w", accessReview.Busy(errBusy)), true},
		{tookTooLong(cause), true},
		{other.Failed(cause), false},
		{(&review.Kind{Name: "token review"}).Failed(cause), false},
		{&ForbiddenError{ErrDenied, "no"}, false},
		{cause, false},
		{nil, false},
	} {
		if got := IsUnanswered(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
