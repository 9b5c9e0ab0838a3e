package upstream

import (
	"fmt"
	"net/http"

	"k8s.io/client-go/transport"
)

// unauthorizedByCredential replaces the code 401 of an answer while the answer passes client-go's
// wrappers. sentRecorder, below the wrappers, sets it, and credentialed, above them, restores the
// 401. The wrappers would react to a 401: client-go runs the credential plugin, and all other
// requests wait meanwhile. Any pod behind pods/proxy could cause that by answering 401.
const unauthorizedByCredential = -http.StatusUnauthorized

// A sentRecorder is the innermost wrapper of a transport, below those of client-go. It sees the
// request as it is sent, and stores it in the answer to a 401. credentialed restores the code of
// that answer.
type sentRecorder struct{ next http.RoundTripper }

func newSentRecorder(next http.RoundTripper) http.RoundTripper { return sentRecorder{next} }

func (w sentRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		resp.Request = req
		if len(req.Header["Impersonate-User"]) > 0 { // without this header, a 401 can only be about edge's own credential
			resp.StatusCode = unauthorizedByCredential
		}
	}
	return resp, nil
}

// WrappedRoundTripper lets client-go find the transports below its wrappers.
func (w sentRecorder) WrappedRoundTripper() http.RoundTripper { return w.next }

// fileTransport sends the token of a file.
type fileTransport struct {
	source transport.ResettableTokenSource
	next   http.RoundTripper
}

// RoundTrip adds the token of the file. If it cannot read the file, it returns ErrNoCredential,
// because a request without a credential would be anonymous.
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

// WrappedRoundTripper lets client-go find the transports below its wrappers.
func (t fileTransport) WrappedRoundTripper() http.RoundTripper { return t.next }
