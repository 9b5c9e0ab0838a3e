package bridge

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/status"
	"edge/impersonate"
)

// rewriteHeader turns the header of a client's request into the header that goes upstream. It
// removes the hop-by-hop headers, the client's credential, and all headers in which the client
// states who or where it is. It sets edge's identity for the request last. Every request that goes
// upstream passes through rewriteHeader.
func rewriteHeader(h http.Header, id impersonate.Identity) error {
	// The value was set by edge, see setForwardedFor. It is saved here because a Connection header
	// that names X-Forwarded-For must not remove it.
	forwarded, ok := h[forwardedFor]
	// An Observer may have set the Audit-ID. The API server should record the request under the
	// same ID.
	record, onRecord := h[status.HeaderAuditID]
	if err := impersonate.Rewrite(h, id); err != nil {
		return status.New(status.ReasonIdentity, http.StatusForbidden, metav1.StatusReasonForbidden, err.Error())
	}
	if id.IsEdgeItself() { // the API server sees the address of this client itself
		delete(h, forwardedFor)
	} else if ok {
		h[forwardedFor] = forwarded
	}
	if onRecord {
		h[status.HeaderAuditID] = record
	}
	return nil
}
