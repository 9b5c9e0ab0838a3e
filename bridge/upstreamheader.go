package bridge

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/status"
	"edge/impersonate"
)

// rewriteHeader turns the header of a client's request into the header that goes upstream. It
// removes the hop-by-hop headers, the client's credential, and all headers in which the client
// states who or where it is. Last, it adds the headers that state the identity id, under which the
// request goes upstream. Every request that goes upstream passes through rewriteHeader.
func rewriteHeader(h http.Header, id impersonate.Identity) error {
	// edge has set X-Forwarded-For, see setForwardedFor. Save the value: impersonate.Rewrite
	// removes each header that the client's Connection header names, and that must not affect
	// X-Forwarded-For.
	forwarded, ok := h[forwardedFor]
	// The same for the Audit-ID, see setAuditID: the API server is to record the request under it.
	record := h[status.HeaderAuditID]
	if err := impersonate.Rewrite(h, id); err != nil {
		return status.New(status.ReasonIdentity, http.StatusForbidden, metav1.StatusReasonForbidden, err.Error())
	}
	// Only edge connect uses edge's own identity. It runs on the user's machine, so the API server
	// sees that machine's address itself.
	if id.IsEdgeItself() {
		delete(h, forwardedFor)
	} else if ok {
		h[forwardedFor] = forwarded
	}
	h[status.HeaderAuditID] = record
	return nil
}
