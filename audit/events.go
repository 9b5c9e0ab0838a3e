package audit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"

	"edge/bridge"
)

// flushPeriod bounds how long the end waits for events that are still to be delivered.
const flushPeriod = 5 * time.Second

// Events is the Observer that makes audit events, and owns the backends that they go to.
type Events struct {
	policy  audit.PolicyRuleEvaluator
	backend audit.Backend
	file    io.Closer // nil: no file
	cut     context.CancelFunc
	flush   time.Duration // flushPeriod, but in tests
	log     *slog.Logger
}

// New reads the policy and opens the backends. Where there is no backend, or no policy, there are no events: then it returns
// nil, which Observers and Run take.
func New(o *Options, log *slog.Logger) (*Events, error) {
	if o.Log.Path == "" && o.Webhook.ConfigFile == "" {
		if o.PolicyFile != "" {
			log.Warn("there are no audit events: --audit-policy-file is set, but neither --audit-log-path nor --audit-webhook-config-file")
		}
		return nil, nil
	}
	if o.PolicyFile == "" {
		log.Warn("there are no audit events: --audit-policy-file is not set")
		return nil, nil
	}
	rules, err := policy.LoadPolicyFromFile(o.PolicyFile)
	if err != nil {
		return nil, fmt.Errorf("--audit-policy-file: %w", err)
	}
	if asksForBodies(rules) {
		log.Warn("the audit policy asks for levels Request or RequestResponse: edge's events have metadata only, "+
			"bodies are in those of the API server", "file", o.PolicyFile)
	}
	ctx, cut := context.WithCancel(context.Background())
	e := &Events{policy: policy.NewPolicyRuleEvaluator(rules), cut: cut, flush: flushPeriod, log: log}
	if e.backend, err = e.open(ctx, o); err != nil {
		cut()
		return nil, err
	}
	return e, nil
}

// open opens what is asked for: the file, the webhook, or both.
func (e *Events) open(ctx context.Context, o *Options) (audit.Backend, error) {
	var all []audit.Backend
	if o.Log.Path != "" {
		backend, file, err := newLogBackend(ctx, o.Log)
		if err != nil {
			return nil, err
		}
		e.file = file
		all = append(all, backend)
	}
	if o.Webhook.ConfigFile != "" {
		backend, err := newWebhookBackend(ctx, o.Webhook)
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

func asksForBodies(p *auditinternal.Policy) bool {
	for _, rule := range p.Rules {
		if rule.Level == auditinternal.LevelRequest || rule.Level == auditinternal.LevelRequestResponse {
			return true
		}
	}
	return false
}

// Run runs the backends until ctx ends, which should be after the last request, then delivers what is left and closes them.
// What is not delivered in flushPeriod is lost, and the log says so.
func (e *Events) Run(ctx context.Context) {
	if e == nil {
		return
	}
	if err := e.backend.Run(ctx.Done()); err != nil {
		e.log.Error("audit backends do not run", "error", err.Error())
	}
	<-ctx.Done()
	late := time.AfterFunc(e.flush, func() {
		e.log.Error("audit events are left that could not be delivered", "after", e.flush)
		e.cut()
	})
	e.backend.Shutdown()
	late.Stop()
	e.cut()
	if e.file != nil {
		if err := e.file.Close(); err != nil {
			e.log.Error("the audit log was not closed", "error", err.Error())
		}
	}
}

// maxAuditID bounds an Audit-ID that a client chose.
const maxAuditID = 256

// Begin gives the request an Audit-ID, if it has none, under which the API server has it too.
func (e *Events) Begin(r *http.Request) bridge.Observation {
	id := r.Header.Get(auditinternal.HeaderAuditID)
	if id == "" || len(id) > maxAuditID || hasToken(id) {
		id = uuid.NewString()
	}
	r.Header.Set(auditinternal.HeaderAuditID, id)
	ctx := audit.WithAuditContext(context.Background())
	audit.WithAuditID(ctx, types.UID(id))
	return &requestEvents{policy: e.policy, backend: e.backend, ctx: ctx, ac: audit.AuditContextFrom(ctx), received: time.Now()}
}
