package audit

import (
	"context"

	"golang.org/x/sync/errgroup"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/client-go/util/flowcontrol"
)

// maxInFlight limits the batches that are being sent to a webhook, including those that wait for a
// retry.
const maxInFlight = 16

// throttle is a backend that passes batches on to another backend concurrently, no faster than the
// limiter allows. The buffered backend of k8s.io/apiserver could limit the rate too, but it would
// let a slow webhook pile up any number of batches, and a shutdown could not interrupt it.
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
	_ = t.underWay.Wait()
	t.Backend.Shutdown()
}
