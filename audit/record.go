package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"edge/bridge"
	"edge/impersonate"
)

// record makes the events of one request, at the moments of kube-apiserver's filters WithAudit and
// WithFailedAuthenticationAudit.
type record struct {
	events   *Events
	ctx      context.Context // carries ac, and no more
	ac       *audit.AuditContext
	received time.Time

	silent      bool // nothing more is said
	stranger    bool // nobody was authenticated: there is the one event of the refusal
	longRunning bool
}

func (o *record) Identified(r *http.Request, id impersonate.Identity, refused error) error {
	attributes := policyAttributes(r, requestorOf(id))
	rule := o.events.policy.EvaluatePolicyRule(attributes)
	audit.ObservePolicyLevel(o.ctx, rule.Level)
	if err := o.ac.Init(rule, o.events.backend); err != nil { // it was initialized already
		return apierrors.NewInternalError(err)
	}
	if rule.Level == auditinternal.LevelNone {
		o.silent = true
		return nil
	}
	o.longRunning = isLongRunning(attributes)
	audit.LogRequestMetadata(o.ctx, recorded(r), o.received, recordedAttributes(attributes))
	if len(id.Dropped) > 0 {
		dropped, err := newList(id.Dropped).MarshalJSON()
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		audit.AddAuditAnnotation(o.ctx, droppedGroups, string(dropped))
	}
	if o.stranger = attributes.User == nil; !o.stranger {
		if !o.ac.ProcessEventStage(o.ctx, auditinternal.StageRequestReceived) {
			audit.ApiserverAuditDroppedCounter.WithContext(o.ctx).Inc()
			o.silent = true
			return apierrors.NewInternalError(errNotStored)
		}
		if target := targetOf(id); target != nil && refused == nil {
			audit.LogImpersonatedUser(o.ctx, target, "")
		}
	}
	if answer := apierrors.APIStatus(nil); errors.As(refused, &answer) {
		status := answer.Status()
		// It may quote what the client sent, as whom it wishes to be.
		status.Message = cut(withoutTokens(status.Message), maxRecordedName)
		o.ac.LogResponseObject(&status, nil)
	}
	return nil
}

// Streaming refuses nothing: what the policy wants is on record since Identified.
func (o *record) Streaming(bridge.Stream) error { return nil }

func (o *record) Started(code int) {
	if o.silent {
		return
	}
	o.ac.SetEventResponseStatusCode(int32(code))
	if o.longRunning || o.stranger {
		o.ac.ProcessEventStage(o.ctx, auditinternal.StageResponseStarted)
	}
}

func (o *record) Ended(end bridge.End) {
	switch {
	case o.silent:
	case end.Panic != nil:
		o.ac.SetEventResponseStatus(&metav1.Status{
			Code:    http.StatusInternalServerError,
			Status:  metav1.StatusFailure,
			Reason:  metav1.StatusReasonInternalError,
			Message: fmt.Sprintf("edge panicked: %v", end.Panic),
		})
		o.ac.ProcessEventStage(o.ctx, auditinternal.StagePanic)
	case o.stranger:
	default:
		if end.Code == 0 {
			o.ac.SetEventResponseStatus(&metav1.Status{
				Code: http.StatusOK, Status: metav1.StatusSuccess, Message: "Connection closed early",
			})
			if o.longRunning {
				o.ac.ProcessEventStage(o.ctx, auditinternal.StageResponseStarted)
			}
		}
		o.ac.ProcessEventStage(o.ctx, auditinternal.StageResponseComplete)
	}
}

// droppedGroups annotates an event with the groups that its user went on without: a list in JSON, bounded as in the access log.
const droppedGroups = "edge.identity/dropped-groups"

// Bounds of what an event takes from a request, in bytes. kube-apiserver has none but its bound of a header.
const (
	maxRecordedName  = 1024
	maxRecordedPath  = 8192
	maxRecordedQuery = 16384
	// truncated ends what was cut, as in kube-apiserver's user agents.
	truncated = "...TRUNCATED"
)

// recorded is the part of a request that an event is made of, without tokens.
func recorded(r *http.Request) *http.Request {
	u := &url.URL{
		Scheme: r.URL.Scheme, Opaque: cut(withoutTokens(r.URL.Opaque), maxRecordedPath), // of a request without a path
		RawPath:    pathWithoutTokens(r.URL.EscapedPath()),
		ForceQuery: r.URL.ForceQuery, RawQuery: cut(queryWithoutTokens(r.URL.RawQuery), maxRecordedQuery),
	}
	u.Path = unescaped(u.RawPath, url.PathUnescape)
	if len(u.RawPath) > maxRecordedPath {
		u.RawPath, u.Path = "", cut(u.Path, maxRecordedPath)
	}
	header := http.Header{"User-Agent": {withoutTokens(r.UserAgent())}}
	if way, ok := r.Header["X-Forwarded-For"]; ok { // edge's own word
		header["X-Forwarded-For"] = way
	}
	return &http.Request{Method: r.Method, URL: u, Header: header, RemoteAddr: r.RemoteAddr}
}

// recordedAttributes are for the event: the policy has seen the whole of them.
func recordedAttributes(a *authorizer.AttributesRecord) *authorizer.AttributesRecord {
	c := *a
	for _, s := range []*string{&c.Verb, &c.Namespace, &c.APIGroup, &c.APIVersion, &c.Resource, &c.Subresource, &c.Name} {
		*s = cut(withoutTokens(*s), maxRecordedName)
	}
	return &c
}

// cut bounds s, and lets go of what s is a part of.
func cut(s string, most int) string {
	if len(s) <= most {
		return strings.Clone(s)
	}
	return s[:most] + truncated
}
