package main

import (
	"errors"
	"fmt"
)

var (
	// errHopeless ends a run in which nothing could be opened.
	errHopeless = fmt.Errorf("the first %d sessions could not be opened, so the others were not tried", giveUpAfter)
	// errNoneLeft ends a run whose sessions have all failed.
	errNoneLeft = errors.New("no session is left")
	// errInterrupted ends a run at a signal.
	errInterrupted = errors.New("interrupted")
	// errMissed is a run whose report says all about it already.
	errMissed = errors.New("a threshold was missed")
)

// failed is a run that could be started; all other errors are of usage.
type failed struct{ error }
