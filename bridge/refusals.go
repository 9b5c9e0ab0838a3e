package bridge

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"edge/impersonate"
)

const (
	// refusalAge is how long the refusal of a WebSocket is remembered. kubectl tries again over SPDY at once; ten seconds are
	// for slow ways.
	refusalAge = 10 * time.Second
	// maxRefusals and maxRefusalBytes bound what is remembered; the oldest makes room.
	maxRefusals     = 1024
	maxRefusalBytes = 1 << 20
	// maxRefusalBody and maxRefusalHeader bound, in bytes, one answer, which is not remembered if it is longer. A Status has some
	// hundred.
	maxRefusalBody   = 16 << 10
	maxRefusalHeader = 4 << 10
	// refusalOverhead is about what one costs beside that.
	refusalOverhead = 512
)

// refusals remembers for a moment how WebSockets were refused: a client that asks for the same over SPDY next, and whose
// Upgrade a load balancer takes off, is to read the reason. Each is for who got it alone. It is one replica's memory.
type refusals struct {
	mu    sync.Mutex
	byKey map[refusalKey]*list.Element
	order *list.List // of *refusedAnswer, the oldest in front
	bytes int        // of all
}

func newRefusals() *refusals {
	return &refusals{byKey: make(map[refusalKey]*list.Element), order: list.New()}
}

// refusalKey is the digest of who asks, for whom, and for which path and query.
type refusalKey [sha256.Size]byte

// keyOf is nil for who is remembered nothing: the owner of edge connect, whose way to it has no load balancer.
func keyOf(id impersonate.Identity, u *url.URL) *refusalKey {
	if id.IsSelf() {
		return nil
	}
	who, path := id.Digest(), u.EscapedPath()
	text := binary.AppendUvarint(who[:], uint64(len(path))) // so that no other path and query are the same bytes
	text = append(append(text, path...), u.RawQuery...)
	key := refusalKey(sha256.Sum256(text))
	return &key
}

// A refusedAnswer is edge's own or upstream's. It is not changed. As an error it stands for the answer.
type refusedAnswer struct {
	key    refusalKey
	code   int
	header http.Header
	body   []byte
	size   int
	until  time.Time
}

func (a *refusedAnswer) Error() string { return "the refusal of a WebSocket, repeated" }

func (a *refusedAnswer) isOver() bool { return !time.Now().Before(a.until) }

// told are the headers that say something about a refusal. Others are about a connection, or for one request only.
var told = []string{"Content-Type", "Warning", "Retry-After", headerAccepted, auditID}

// remember keeps an answer if it is a refusal, is not too long and can be read by everybody. The body is kept as it is.
func (m *refusals) remember(key *refusalKey, code int, header http.Header, body []byte) {
	if key == nil || code < http.StatusBadRequest || len(header["Content-Encoding"]) > 0 {
		return
	}
	a := &refusedAnswer{key: *key, code: code, header: make(http.Header), body: body, until: time.Now().Add(refusalAge)}
	said := 0
	for _, name := range told {
		for _, value := range header[name] {
			said += len(value)
		}
		if values, ok := header[name]; ok {
			a.header[name] = slices.Clone(values)
		}
	}
	if len(body) > maxRefusalBody || said > maxRefusalHeader {
		return
	}
	a.size = refusalOverhead + said + len(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(m.byKey[*key])
	for e := m.order.Front(); e != nil && (m.order.Len() >= maxRefusals || m.bytes+a.size > maxRefusalBytes || e.Value.(*refusedAnswer).isOver()); e = m.order.Front() {
		m.drop(e)
	}
	m.byKey[*key] = m.order.PushBack(a)
	m.bytes += a.size
}

// recall returns what was answered; nil if nobody knows, or not any more.
func (m *refusals) recall(key *refusalKey) *refusedAnswer {
	if key == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[*key]
	if e == nil {
		return nil
	}
	if e.Value.(*refusedAnswer).isOver() {
		m.drop(e)
		return nil
	}
	return e.Value.(*refusedAnswer)
}

// forget is for a WebSocket that was not refused this time.
func (m *refusals) forget(key *refusalKey) {
	if key == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(m.byKey[*key])
}

// drop takes one out. The caller holds the lock.
func (m *refusals) drop(e *list.Element) {
	if e == nil {
		return
	}
	a := m.order.Remove(e).(*refusedAnswer)
	delete(m.byKey, a.key)
	m.bytes -= a.size
}

// own remembers a refusal of edge's own, which is to be written with this header.
func (m *refusals) own(key *refusalKey, header http.Header, err error) {
	if key == nil {
		return
	}
	s := statusOf(err)
	body := encodeStatus(s)
	header = header.Clone()
	setStatusHeader(header, s, len(body), "application/json")
	setAuditID(header, err)
	m.remember(key, int(s.Code), header, body)
}

// passing remembers upstream's refusal while its body is read, before the last of it is.
func (m *refusals) passing(key *refusalKey, resp *http.Response) {
	switch {
	case key == nil:
	case resp.ContentLength == 0:
		m.remember(key, resp.StatusCode, resp.Header, nil)
	case resp.ContentLength <= maxRefusalBody:
		resp.Body = &keptBody{ReadCloser: resp.Body, announced: resp.ContentLength, whole: func(body []byte) {
			m.remember(key, resp.StatusCode, resp.Header, body)
		}}
	}
}

// keptBody keeps what is read of a body, if it is not too long.
type keptBody struct {
	io.ReadCloser
	read      []byte
	announced int64             // its length; less than 0: it ends with EOF
	whole     func(body []byte) // is called once; nil: it was, or will not be
}

func (k *keptBody) Read(b []byte) (int, error) {
	n, err := k.ReadCloser.Read(b)
	if k.whole == nil {
		return n, err
	}
	if len(k.read)+n > maxRefusalBody {
		k.read, k.whole = nil, nil
		return n, err
	}
	k.read = append(k.read, b[:n]...)
	if int64(len(k.read)) == k.announced || err == io.EOF && k.announced < 0 {
		k.whole(k.read)
		k.read, k.whole = nil, nil
	}
	return n, err
}

// write gives the answer once more, to a request that has nothing left of its header then.
func (a *refusedAnswer) write(w http.ResponseWriter, r *http.Request) {
	noteRefusal(w, ReasonUpgradeRequired)
	h := w.Header()
	for name, values := range a.header {
		h[name] = slices.Clone(values)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Cache-Control", "no-cache, private")
	h.Set("X-Content-Type-Options", "nosniff")
	u := newUntaken(w, r, !hasBody(r))
	w.WriteHeader(a.code)
	if r.Method != http.MethodHead {
		w.Write(a.body)
	}
	u.written()
}
