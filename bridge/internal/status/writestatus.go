package status

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// refusalTime bounds each write of a refusal. A client that takes nothing, by its TCP window or an HTTP/2 one, holds the
	// request no longer: HTTP/1.1 loses the connection, HTTP/2 the stream.
	refusalTime = 10 * time.Second
	// bodyTime bounds how long net/http reads the body of a request that was refused without it. With the half second that
	// net/http then gives a client to read the answer, the connection is gone in 5 s.
	bodyTime = 4 * time.Second
	// bodyPatience is how long DiscardBody waits for a small body. What came with the header, as kubectl's does, takes no time.
	bodyPatience = 20 * time.Millisecond
	// maxDiscarded bounds, in bytes, a body that is read to keep the connection: net/http's and so kube-apiserver's own bound.
	maxDiscarded = 256 << 10
)

// Refuse answers a request with a Status. Nobody has read its body yet, and nobody needs its header afterwards.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer(w, r, err, DiscardBody(w, r))
}

// Write answers a request whose body somebody else may be reading with a Status.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	answer(w, r, err, !HasBody(r))
}

// answer writes a Status that the client cannot hold up. The request has nothing left of its header then. read tells that
// its body is at its end.
func answer(w http.ResponseWriter, r *http.Request, err error, read bool) {
	NoteReason(w, reasonOf(err))
	s := Of(err)
	body, contentType := text(s, r)
	SetHeader(w.Header(), s, len(body), contentType)
	warnRaw(w.Header(), s, r)
	SetAuditID(w.Header(), err)
	u := BoundWrites(w, r, read)
	w.WriteHeader(int(s.Code))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
	u.Done()
}

// BoundedWrite is a refusal that the client has not taken yet.
type BoundedWrite struct {
	Controller *http.ResponseController
	HTTP1      bool
}

// BoundWrites makes the request hold nothing, for as long as its refusal is written.
func BoundWrites(w http.ResponseWriter, r *http.Request, read bool) BoundedWrite {
	u := BoundedWrite{http.NewResponseController(w), r.ProtoMajor == 1}
	switch {
	case read:
	case u.HTTP1: // without this word, net/http waits for the body before the answer goes out
		w.Header().Set("Connection", "close")
		u.Controller.SetReadDeadline(time.Now().Add(bodyTime))
	default: // what has come of it goes, what still comes is dropped
		r.Body.Close()
	}
	forget(r)
	u.Extend()
	return u
}

// Extend gives the next write its time.
func (u BoundedWrite) Extend() { u.Controller.SetWriteDeadline(time.Now().Add(refusalTime)) }

// Done sends what was written. The deadline of an HTTP/1.1 connection would be the next answer's, too, which may be an
// endless one of upstream's; that of an HTTP/2 stream stays, for its last frame.
func (u BoundedWrite) Done() {
	if u.HTTP1 && u.Controller.Flush() == nil {
		u.Controller.SetWriteDeadline(time.Time{})
	}
}

// forget takes from a request all whose size a client chose. Method, body and context stay.
func forget(r *http.Request) {
	clear(r.Trailer) // the stream of HTTP/2 has the map, too
	r.Header, r.Trailer, r.URL = make(http.Header), nil, new(url.URL)
	r.Host, r.RequestURI = "", ""
	r.Method, r.Proto = strings.Clone(r.Method), strings.Clone(r.Proto) // parts of HTTP/1.1's request line, which has the URL
}

// CountedBody is a request's body whose bytes somebody counts.
type CountedBody interface{ Uncounted() io.ReadCloser }

func HasBody(r *http.Request) bool {
	return r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
}

// DiscardBody reports whether a refused request has no body that is still to be read. Over HTTP/1.1, one that is small and has
// come costs the client no connection, as at kube-apiserver; unlike there, one that does not come is not waited for.
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
	if counted, ok := body.(CountedBody); ok { // what is dropped is not on record
		body = counted.Uncounted()
	}
	_, err := io.CopyN(io.Discard, body, maxDiscarded+1)
	at.SetReadDeadline(time.Time{})
	// At its end net/http listens to the connection for what comes next, and a deadline that has passed meanwhile would have
	// ended the context of all requests to come. The end is io.EOF itself: an error that wraps it is of a body that broke off.
	return err == io.EOF && time.Now().Before(deadline)
}
