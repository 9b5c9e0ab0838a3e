package authn

import (
	"errors"

	"edge/review"
)

// tokenReview is the kind of a [TokenReviewer]'s errors. The question has the token, which no error repeats.
var tokenReview = &review.Kind{
	Room: "authn", Name: "token review", Resource: "tokenreviews", Group: "authentication.k8s.io", Secret: true,
}

// errReviewsBusy is a 429: as many reviews wait for a turn as may.
var errReviewsBusy = tokenReview.Busy(errors.New("too many are under way and waiting"))
