package status

import (
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// unauthorized is the beginning of the message of each 401.
const unauthorized = "Unauthorized"

// text returns the body and content type of the answer to r that shows s. Clients that do not parse
// a Status get its message as plain text. If a client accepts only text and the message is
// "Unauthorized: why", it gets only "Unauthorized", as from kube-oidc-proxy.
func text(s metav1.Status, r *http.Request) (body []byte, contentType string) {
	accept := r.Header.Get("Accept")
	switch {
	case strings.HasPrefix(accept, "text/") && !strings.Contains(accept, "application/json"):
		if s.Code == http.StatusUnauthorized && strings.HasPrefix(s.Message, unauthorized+": ") {
			s.Message = unauthorized
		}
	case s.Code == http.StatusUnauthorized || !takesRaw(r):
		return Encode(s), "application/json"
	}
	return []byte(s.Message + "\n"), "text/plain; charset=utf-8"
}

// takesRaw reports whether client-go reads the answer to r without parsing a Status. This holds for
// the requests with which kubectl, helm and k9s begin: aggregated discovery and the version. If
// such an answer is an error and not text, client-go shows "unknown". For a 401 it always shows its
// own message.
func takesRaw(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	if r.URL.Path == "/version" && accept == "application/json, */*" {
		return true
	}
	return strings.Contains(accept, "g=apidiscovery.k8s.io")
}

// warnRaw adds the message of s as a Warning (RFC 7234 section 5.5) to a 401 whose message
// client-go would not show otherwise. client-go shows warnings to the user.
func warnRaw(h http.Header, s metav1.Status, r *http.Request) {
	if s.Code != http.StatusUnauthorized || s.Message == unauthorized || !takesRaw(r) {
		return
	}
	if warning, err := utilnet.NewWarningHeader(299, "", s.Message); err == nil {
		h.Set("Warning", warning)
	}
}
