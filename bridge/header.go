package bridge

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/status"
	"edge/impersonate"
)

// rewriteHeader makes the header of a client's request the one that goes upstream:
// nothing hop by hop, no credential and no claim of the client's about who or
// where it is, and edge's identity for it last. Every path goes through here.
func rewriteHeader(h http.Header, id impersonate.Identity) error {
	forwarded, ok := h[forwardedFor]            // edge's own word, see locate: no Connection takes it off
	record, onRecord := h[status.HeaderAuditID] // an Observer's, under which the API server is to have the request too
	if err := impersonate.Rewrite(h, id); err != nil {
		return status.New(status.ReasonIdentity, http.StatusForbidden, metav1.StatusReasonForbidden, err.Error())
	}
	if id.IsEdgeItself() { // whose address upstream sees itself
		delete(h, forwardedFor)
	} else if ok {
		h[forwardedFor] = forwarded
	}
	if onRecord {
		h[status.HeaderAuditID] = record
	}
	return nil
}
