package authn

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// fetchSchedule contains the intervals at which an issuer's keys are fetched.
type fetchSchedule struct {
	renew time.Duration // time from a successful fetch of keys to the next fetch
	retry wait.Backoff  // times from a failed fetch of keys to the next fetch
}

var defaultSchedule = fetchSchedule{5 * time.Minute, doubling(time.Second, 30*time.Second)}

// doubling returns a backoff: the first wait takes as long as the parameter first. Each further
// wait takes twice as long, but never longer than the parameter most.
func doubling(first, most time.Duration) wait.Backoff {
	// wait.Backoff.Step sets Steps to 0 when the time reaches Cap, and then always returns Cap.
	return wait.Backoff{Duration: first, Factor: 2, Cap: most, Steps: math.MaxInt}
}
