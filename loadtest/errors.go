package main

import (
	"errors"
	"fmt"
)

var (
	// errHopeless ends a run in which the first sessions could not be opened.
	errHopeless = fmt.Errorf("the first %d sessions could not be opened, so the others were not tried", giveUpAfter)
	// errNoneLeft ends a run in which no session is open any more.
	errNoneLeft = errors.New("all sessions have failed")
	// errInterrupted ends a run after a signal.
	errInterrupted = errors.New("interrupted")
	// errMissed is the error of a run that missed a threshold. The report shows which one.
	errMissed = errors.New("a threshold was missed")
)

// failed wraps the error of a run that was started. All other errors are usage errors.
type failed struct{ error }
