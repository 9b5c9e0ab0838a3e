package audit

import (
	"errors"
	"net/http"

	"edge/bridge"
	"edge/impersonate"
)

// Observers joins several into one; nils are left out, also an *Events that is nil. Of none it is nil.
func Observers(all ...bridge.Observer) bridge.Observer {
	var some observers
	for _, o := range all {
		if events, ok := o.(*Events); o == nil || ok && events == nil {
			continue
		}
		some = append(some, o)
	}
	switch len(some) {
	case 0:
		return nil
	case 1:
		return some[0]
	}
	return some
}

type observers []bridge.Observer

func (all observers) Begin(r *http.Request) bridge.Observation {
	seen := make(observations, len(all))
	for i, o := range all {
		seen[i] = o.Begin(r)
	}
	return seen
}

type observations []bridge.Observation

// Identified asks all; one refusal is enough.
func (all observations) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	var vetoes []error
	for _, o := range all {
		vetoes = append(vetoes, o.Identified(r, id, refused))
	}
	return errors.Join(vetoes...)
}

func (all observations) Started(code int) {
	for _, o := range all {
		o.Started(code)
	}
}

func (all observations) Ended(end bridge.End) {
	for _, o := range all {
		o.Ended(end)
	}
}
