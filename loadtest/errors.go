package main

import (
	"errors"
	"fmt"
)

var (
	// errHopeless ends a load test in which the first giveUpAfter sessions could not be opened.
	errHopeless = fmt.Errorf("the first %d sessions could not be opened, so the others were not tried", giveUpAfter)
	// errNoneLeft ends a load test in which all sessions have failed, so that no session is open
	// any more.
	errNoneLeft = errors.New("all sessions have failed")
	// errInterrupted ends a load test after a signal.
	errInterrupted = errors.New("interrupted")
	// errMissed is the error of a load test that missed a threshold. The report shows which
	// threshold.
	errMissed = errors.New("a threshold was missed")
)

// failed wraps the error of a load test that was started. An error without it is a usage error.
type failed struct{ error }
