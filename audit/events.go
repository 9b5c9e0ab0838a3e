package audit

import (
	"context"
	"io"
	"log/slog"
	"time"

	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
)

// flushPeriod limits how long Run waits at the end for events that are not delivered yet.
const flushPeriod = 5 * time.Second

// Events is the Observer that makes audit events. It owns the backends that the events are sent to.
type Events struct {
	policy  audit.PolicyRuleEvaluator
	backend audit.Backend
	file    io.Closer // the audit log file; nil: there is none
	cut     context.CancelFunc
	flush   time.Duration // timeout for delivering the last events when Run ends: flushPeriod, or shorter in tests
	log     *slog.Logger
}

// New reads the policy and opens the backends. Without a policy or a backend there are no audit
// events, and New returns nil. Run accepts a nil *Events. bridge.Observers does not: its caller
// leaves a nil *Events out.
func New(o *Options, log *slog.Logger) (*Events, error) {
	if o.Log.Path == "" && o.Webhook.ConfigFile == "" {
		if o.PolicyFile != "" {
			log.Warn("audit events are disabled: --audit-policy-file is set, but neither --audit-log-path nor --audit-webhook-config-file")
		}
		return nil, nil
	}
	if o.PolicyFile == "" {
		log.Warn("audit events are disabled: --audit-policy-file is not set")
		return nil, nil
	}
	rules, err := loadPolicy(o.PolicyFile, log)
	if err != nil {
		return nil, err
	}
	ctx, cut := context.WithCancel(context.Background())
	e := &Events{policy: policy.NewPolicyRuleEvaluator(rules), cut: cut, flush: flushPeriod, log: log}
	if e.backend, err = e.open(ctx, o); err != nil {
		cut()
		return nil, err
	}
	return e, nil
}

// open opens the configured backends: the file, the webhook, or both.
func (e *Events) open(ctx context.Context, o *Options) (audit.Backend, error) {
	var all []audit.Backend
	if o.Log.Path != "" {
		backend, file, err := newLogBackend(ctx, o.Log, o.Metrics.queued())
		if err != nil {
			return nil, err
		}
		e.file = file
		all = append(all, backend)
	}
	if o.Webhook.ConfigFile != "" {
		backend, err := newWebhookBackend(ctx, o.Webhook, o.Metrics.queued())
		if err != nil {
			if e.file != nil {
				e.file.Close()
			}
			return nil, err
		}
		all = append(all, backend)
	}
	return audit.Union(all...), nil
}

// Run runs the backends until ctx ends, then delivers the remaining events and closes the backends.
// End ctx only after the last request. Run logs an error if it has to drop events that are not
// delivered within flushPeriod.
func (e *Events) Run(ctx context.Context) {
	if e == nil {
		return
	}
	if err := e.backend.Run(ctx.Done()); err != nil {
		e.log.Error("failed to start the audit backends", "error", err.Error())
	}
	<-ctx.Done()
	late := time.AfterFunc(e.flush, func() {
		e.log.Error("audit events could not be delivered before the shutdown timeout and are lost", "after", e.flush)
		e.cut()
	})
	e.backend.Shutdown()
	late.Stop()
	e.cut()
	if e.file != nil {
		if err := e.file.Close(); err != nil {
			e.log.Error("failed to close the audit log file", "error", err.Error())
		}
	}
}
