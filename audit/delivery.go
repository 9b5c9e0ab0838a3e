package audit

import (
	"context"
	"fmt"
	"io"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/plugin/pkg/audit/buffered"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"
	"k8s.io/client-go/util/flowcontrol"
)

// newLogBackend returns a backend that writes events to the audit log file. The caller closes the
// file.
func newLogBackend(ctx context.Context, o LogOptions, q *queueCount) (audit.Backend, io.Closer, error) {
	out, err := openLog(o)
	if err != nil {
		return nil, nil, fmt.Errorf("--audit-log-path: %w", err)
	}
	backend := pluginlog.NewBackend(out, o.Format, auditv1.SchemeGroupVersion)
	return o.Delivery.wrap(ctx, backend, 1, q), out, nil // one batch at a time: concurrent writers would only wait for each other
}

// newWebhookBackend returns a backend that posts events to the webhook. It stops posting and
// retrying when ctx ends.
func newWebhookBackend(ctx context.Context, o WebhookOptions, q *queueCount) (audit.Backend, error) {
	posts, err := newWebhook(ctx, o.ConfigFile, o.InitialBackoff)
	if err != nil {
		return nil, fmt.Errorf("--audit-webhook-config-file: %w", err)
	}
	return o.Delivery.wrap(ctx, posts, maxInFlight, q), nil
}

// wrap adds batching, throttling and truncation to a backend, as Mode, Batch and Truncate require.
// At most width batches are sent at the same time. q counts the events that wait; nil: nobody does.
func (d Delivery) wrap(ctx context.Context, b audit.Backend, width int, q *queueCount) audit.Backend {
	switch d.Mode {
	case modeBlocking:
		b = forgiving{b}
	case modeBatch:
		config := d.Batch
		if q != nil {
			b = exit{b, q}
		}
		p := &throttle{Backend: b, ctx: ctx}
		p.underWay.SetLimit(width)
		if config.ThrottleEnable {
			p.limiter = flowcontrol.NewTokenBucketRateLimiter(config.ThrottleQPS, config.ThrottleBurst)
		}
		config.ThrottleEnable, config.AsyncDelegate = false, false // off, because edge's type throttle limits the rate and sends batches concurrently
		b = buffered.NewBackend(p, config)
		if q != nil {
			b = entrance{b, q}
		}
	}
	if d.TruncateEnabled {
		b = truncate.NewBackend(b, d.Truncate, auditv1.SchemeGroupVersion)
	}
	return b
}

// forgiving is a backend that reports an event as delivered even if it was not, so that the request
// proceeds (mode blocking).
type forgiving struct{ audit.Backend }

func (f forgiving) ProcessEvents(events ...*auditinternal.Event) bool {
	f.Backend.ProcessEvents(events...)
	return true
}
