package status

import (
	"io"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// bodyPatience is how long DiscardBody waits for the small body of a refused request. A body
	// that arrived together with the header, as kubectl's does, needs no wait.
	bodyPatience = 20 * time.Millisecond
	// maxDiscarded is the maximum length, in bytes, of a refused request's body that edge reads in
	// order to keep the connection. net/http has the same limit, and therefore kube-apiserver too.
	maxDiscarded = 256 << 10
)

// CountedBody is a request body that counts the bytes read from it. Uncounted returns the body
// below, whose reads are not counted.
type CountedBody interface{ Uncounted() io.ReadCloser }

func HasBody(r *http.Request) bool {
	return r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
}

// DiscardBody reads and drops a small body of a refused request. It reports whether nothing of the
// body is left to read. Over HTTP/1.1, a client then keeps its connection, as at kube-apiserver.
// Unlike kube-apiserver, edge does not wait for a body that has not arrived.
func DiscardBody(w http.ResponseWriter, r *http.Request) bool {
	if !HasBody(r) {
		return true
	}
	if r.ProtoMajor != 1 || r.ContentLength > maxDiscarded || httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue") {
		return false
	}
	at, deadline := http.NewResponseController(w), time.Now().Add(bodyPatience)
	if at.SetReadDeadline(deadline) != nil {
		return false
	}
	body := r.Body
	if counted, ok := body.(CountedBody); ok { // bytes that edge drops are not counted
		body = counted.Uncounted()
	}
	_, err := io.CopyN(io.Discard, body, maxDiscarded+1)
	at.SetReadDeadline(time.Time{})
	// If the deadline has passed, return false, so that the connection is closed. At the body's
	// end, net/http has begun to read the connection for the next request. If the expired deadline
	// made that read fail, net/http cancels the contexts of all later requests on the connection.
	// Compare with ==: an error that only wraps io.EOF means that the body broke off.
	return err == io.EOF && time.Now().Before(deadline)
}
