package audit

import (
	"context"

	"golang.org/x/sync/errgroup"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/client-go/util/flowcontrol"
)

// maxInFlight bounds the batches on their way to a webhook, with those that wait to be sent again.
const maxInFlight = 16

// throttle hands batches on beside each other, no faster than the limiter allows. The buffered backend would do both itself, but
// with as many at once as a slow webhook lets pile up, and at the end without a way to hurry.
type throttle struct {
	audit.Backend
	ctx      context.Context
	limiter  flowcontrol.RateLimiter // nil: no limit
	underWay errgroup.Group
}

func (t *throttle) ProcessEvents(events ...*auditinternal.Event) bool {
	if t.limiter != nil {
		if err := t.limiter.Wait(t.ctx); err != nil {
			audit.HandlePluginError(t.String(), err, events...)
			return false
		}
	}
	t.underWay.Go(func() error {
		t.Backend.ProcessEvents(events...)
		return nil
	})
	return true
}

func (t *throttle) Shutdown() {
	t.underWay.Wait()
	t.Backend.Shutdown()
}
