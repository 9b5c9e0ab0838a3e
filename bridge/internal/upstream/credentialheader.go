package upstream

import (
	"fmt"
	"net/http"

	"k8s.io/client-go/transport"
)

// unauthorizedByCredential is the code of a 401 between the sentRecorder and credentialed. What is between them acts on a 401 by itself: client-go
// runs a credential plugin, while all other requests wait, and any pod behind pods/proxy could make it do that.
const unauthorizedByCredential = -http.StatusUnauthorized

// A sentRecorder is next to the connection: it sees what is sent. Of what it returns, credentialed undoes the code.
type sentRecorder struct{ next http.RoundTripper }

func newSentRecorder(next http.RoundTripper) http.RoundTripper { return sentRecorder{next} }

func (w sentRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		resp.Request = req
		if len(req.Header["Impersonate-User"]) > 0 { // any other is the API server's own answer about edge
			resp.StatusCode = unauthorizedByCredential
		}
	}
	return resp, nil
}

// WrappedRoundTripper is for client-go, which looks through wrappers.
func (w sentRecorder) WrappedRoundTripper() http.RoundTripper { return w.next }

// fileTransport sends the token of a file.
type fileTransport struct {
	source transport.ResettableTokenSource
	next   http.RoundTripper
}

// RoundTrip never sends a request without a credential: it would be anonymous.
func (t fileTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(req.Header["Authorization"]) > 0 {
		return t.next.RoundTrip(req)
	}
	token, err := t.source.Token()
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, fmt.Errorf("%w: %w", ErrNoCredential, err)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return t.next.RoundTrip(req)
}

// WrappedRoundTripper is for client-go, which looks through wrappers.
func (t fileTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
