package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"

	"edge/bridge"
	"edge/impersonate"
)

// Begin implements bridge.Observer.
func (e *Events) Begin(r *http.Request) bridge.Observation {
	ctx := audit.WithAuditContext(context.Background())
	audit.WithAuditID(ctx, types.UID(r.Header.Get(headerAuditID)))
	return &requestEvents{policy: e.policy, backend: e.backend, ctx: ctx, ac: audit.AuditContextFrom(ctx), received: time.Now()}
}

// requestEvents makes the events of one request, at the same moments as kube-apiserver's filters
// WithAudit and WithFailedAuthenticationAudit.
type requestEvents struct {
	policy   audit.PolicyRuleEvaluator
	backend  audit.Backend
	ctx      context.Context // passes the field ac to functions of k8s.io/apiserver; has no deadline and no other value
	ac       *audit.AuditContext
	received time.Time

	silent      bool // true: make no further events
	stranger    bool // true: authentication failed; the only event of the request is ResponseStarted, with the refusal
	longRunning bool
}

func (e *requestEvents) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	attributes := policyAttributes(r, requestorOf(id))
	level, err := e.applyPolicy(attributes)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if level == auditinternal.LevelNone {
		e.silent = true
		return nil
	}
	e.longRunning = isLongRunning(attributes)
	audit.LogRequestMetadata(e.ctx, eventRequest(r), e.received, eventAttributes(attributes))
	if len(id.Dropped) > 0 {
		dropped, err := newList(id.Dropped).MarshalJSON()
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		audit.AddAuditAnnotation(e.ctx, droppedGroups, string(dropped))
	}
	if e.stranger = attributes.User == nil; !e.stranger {
		if !e.ac.ProcessEventStage(e.ctx, auditinternal.StageRequestReceived) {
			audit.ApiserverAuditDroppedCounter.WithContext(e.ctx).Inc()
			e.silent = true
			return apierrors.NewInternalError(errNotStored)
		}
		if target := targetOf(id); target != nil && refused == nil {
			audit.LogImpersonatedUser(e.ctx, target, "")
		}
	}
	if answer := apierrors.APIStatus(nil); errors.As(refused, &answer) {
		status := answer.Status()
		// The message may quote what the client sent, for example the user that the client asks to
		// impersonate.
		status.Message = cut(redact(status.Message), maxRecordedName)
		e.ac.LogResponseObject(&status, nil)
	}
	return nil
}

// Streaming never refuses a stream: Identified has already made the event that the policy requires.
func (e *requestEvents) Streaming(bridge.Stream) error { return nil }

func (e *requestEvents) Started(code int) {
	if e.silent {
		return
	}
	e.ac.SetEventResponseStatusCode(int32(code))
	if e.longRunning || e.stranger {
		e.ac.ProcessEventStage(e.ctx, auditinternal.StageResponseStarted)
	}
}

func (e *requestEvents) Ended(end bridge.End) {
	switch {
	case e.silent:
	case end.Panic != nil:
		e.ac.SetEventResponseStatus(&metav1.Status{
			Code:    http.StatusInternalServerError,
			Status:  metav1.StatusFailure,
			Reason:  metav1.StatusReasonInternalError,
			Message: fmt.Sprintf("edge panicked: %v", end.Panic),
		})
		e.ac.ProcessEventStage(e.ctx, auditinternal.StagePanic)
	case e.stranger:
	default:
		if end.Code == 0 {
			e.ac.SetEventResponseStatus(&metav1.Status{
				Code: http.StatusOK, Status: metav1.StatusSuccess, Message: "Connection closed early",
			})
			if e.longRunning {
				e.ac.ProcessEventStage(e.ctx, auditinternal.StageResponseStarted)
			}
		}
		e.ac.ProcessEventStage(e.ctx, auditinternal.StageResponseComplete)
	}
}

// droppedGroups is the annotation with the groups that were removed from the user: a JSON list with
// the limits of the access log.
const droppedGroups = "edge.identity/dropped-groups"
