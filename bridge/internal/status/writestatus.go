package status

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// refusalTime limits the time of each write of a refusal. A client may stop reading, so that
	// its TCP or HTTP/2 window is full. After refusalTime, edge closes an HTTP/1.1 connection or
	// resets an HTTP/2 stream, and the request is released.
	refusalTime = 10 * time.Second
	// bodyTime limits how long net/http reads the body of a refused request. After that, net/http
	// gives the client half a second to read the answer, so the connection is closed within 5 s.
	bodyTime = 4 * time.Second
)

// Refuse answers a request with the Status for err. The caller must not have read the body, and
// must not use the request's header afterwards.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer(w, r, err, DiscardBody(w, r))
}

// Write answers a request with the Status for err, while other code may still read the request's
// body.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	answer(w, r, err, !HasBody(r))
}

// answer writes the Status for err to the client. A client that does not read cannot block it for
// longer than refusalTime. read is true if the body of r has been read to its end. answer clears
// the header and the URL of r.
func answer(w http.ResponseWriter, r *http.Request, err error, read bool) {
	NoteReason(w, reasonOf(err))
	s := Of(err)
	body, contentType := text(s, r)
	SetHeader(w.Header(), s, len(body), contentType)
	warnRaw(w.Header(), s, r)
	SetAuditID(w.Header(), r.Header, err)
	u := BoundWrites(w, r, read)
	w.WriteHeader(int(s.Code))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
	u.Done()
}

// BoundedWrite is a refusal that is being written to the client, with a deadline.
type BoundedWrite struct {
	Controller *http.ResponseController
	HTTP1      bool
}

// BoundWrites sets a deadline for the write of a refusal. It also clears the header and the URL of
// r, so that they use no memory while the client does not read the refusal. read is true if the
// body of r has been read to its end.
func BoundWrites(w http.ResponseWriter, r *http.Request, read bool) BoundedWrite {
	u := BoundedWrite{http.NewResponseController(w), r.ProtoMajor == 1}
	switch {
	case read:
	// Without "Connection: close", net/http reads the whole body before it sends the answer.
	case u.HTTP1:
		w.Header().Set("Connection", "close")
		u.Controller.SetReadDeadline(time.Now().Add(bodyTime))
	default: // HTTP/2: drop the body's bytes, also those still to come
		r.Body.Close()
	}
	forget(r)
	u.Extend()
	return u
}

// Extend sets the deadline for the next write of the refusal.
func (u BoundedWrite) Extend() { u.Controller.SetWriteDeadline(time.Now().Add(refusalTime)) }

// Done flushes the refusal. On HTTP/1.1 it removes the write deadline, which would also apply to
// the next answer on the connection, and that answer may be endless. On HTTP/2 the deadline stays,
// because it applies to this stream only and must cover the stream's last frame.
func (u BoundedWrite) Done() {
	if u.HTTP1 && u.Controller.Flush() == nil {
		u.Controller.SetWriteDeadline(time.Time{})
	}
}

// forget clears the parts of a request whose size the client chose, to free their memory. The
// method, the body and the context stay.
func forget(r *http.Request) {
	clear(r.Trailer) // the HTTP/2 stream refers to the same map
	r.Header, r.Trailer, r.URL = make(http.Header), nil, new(url.URL)
	r.Host, r.RequestURI = "", ""
	// Both strings are parts of the HTTP/1.1 request line, and would keep the whole line, with the
	// URL, in memory.
	r.Method, r.Proto = strings.Clone(r.Method), strings.Clone(r.Proto)
}
