package audit

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"gopkg.in/natefinch/lumberjack.v2"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/plugin/pkg/audit/buffered"
	pluginlog "k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"
	"k8s.io/client-go/util/flowcontrol"
)

// newLogBackend writes events to the file, which the caller closes.
func newLogBackend(ctx context.Context, o LogOptions) (audit.Backend, io.Closer, error) {
	out, err := o.open()
	if err != nil {
		return nil, nil, fmt.Errorf("--audit-log-path: %w", err)
	}
	backend := pluginlog.NewBackend(out, o.Format, auditv1.SchemeGroupVersion)
	return o.Delivery.wrap(ctx, backend, 1), out, nil // more than one writer would only wait for each other
}

// newWebhookBackend posts events. All that it does ends when ctx does.
func newWebhookBackend(ctx context.Context, o WebhookOptions) (audit.Backend, error) {
	sender, err := newSender(ctx, o.ConfigFile, o.InitialBackoff)
	if err != nil {
		return nil, fmt.Errorf("--audit-webhook-config-file: %w", err)
	}
	return o.Delivery.wrap(ctx, sender, maxInFlight), nil
}

// open makes sure at the start that the file can be written.
func (o LogOptions) open() (io.WriteCloser, error) {
	if o.Path == "-" {
		return standardOutput{os.Stdout}, nil
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || o.MaxSize == 0 {
		return file, err
	}
	file.Close()
	return &lumberjack.Logger{
		Filename: o.Path, MaxAge: o.MaxAge, MaxBackups: o.MaxBackups, MaxSize: o.MaxSize, Compress: o.Compress,
	}, nil
}

// standardOutput is the process's: it stays open.
type standardOutput struct{ io.Writer }

func (standardOutput) Close() error { return nil }

// wrap puts before a backend what Mode and Truncate ask for. At most width batches are under way at one time.
func (d Delivery) wrap(ctx context.Context, b audit.Backend, width int) audit.Backend {
	switch d.Mode {
	case modeBlocking:
		b = forgiving{b}
	case modeBatch:
		config := d.Batch
		p := &pace{Backend: b, ctx: ctx}
		p.underWay.SetLimit(width)
		if config.ThrottleEnable {
			p.limiter = flowcontrol.NewTokenBucketRateLimiter(config.ThrottleQPS, config.ThrottleBurst)
		}
		config.ThrottleEnable, config.AsyncDelegate = false, false // pace does both
		b = buffered.NewBackend(p, config)
	}
	if d.TruncateEnabled {
		b = truncate.NewBackend(b, d.Truncate, auditv1.SchemeGroupVersion)
	}
	return b
}

// forgiving lets a request go on whose event could not be delivered.
type forgiving struct{ audit.Backend }

func (f forgiving) ProcessEvents(events ...*auditinternal.Event) bool {
	f.Backend.ProcessEvents(events...)
	return true
}

// maxInFlight bounds the batches on their way to a webhook, with those that wait to be sent again.
const maxInFlight = 16

// pace hands batches on beside each other, no faster than the limiter allows. The buffered backend would do both itself, but
// with as many at once as a slow webhook lets pile up, and at the end without a way to hurry.
type pace struct {
	audit.Backend
	ctx      context.Context
	limiter  flowcontrol.RateLimiter // nil: no limit
	underWay errgroup.Group
}

func (p *pace) ProcessEvents(events ...*auditinternal.Event) bool {
	if p.limiter != nil {
		if err := p.limiter.Wait(p.ctx); err != nil {
			audit.HandlePluginError(p.String(), err, events...)
			return false
		}
	}
	p.underWay.Go(func() error {
		p.Backend.ProcessEvents(events...)
		return nil
	})
	return true
}

func (p *pace) Shutdown() {
	p.underWay.Wait()
	p.Backend.Shutdown()
}
