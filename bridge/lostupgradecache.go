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

	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge/internal/status"
	"edge/impersonate"
)

const (
	// refusalAge is how long edge remembers the refusal of a client's WebSocket. kubectl tries
	// again over SPDY at once; ten seconds leave time for slow connections.
	refusalAge = 10 * time.Second
	// maxRefusals and maxRefusalBytes limit how many refusals of WebSockets edge remembers, and
	// their total size in bytes. If a limit is reached, the oldest refusals are dropped.
	maxRefusals     = 1024
	maxRefusalBytes = 1 << 20
	// maxRefusalBody and maxRefusalHeader limit the size, in bytes, of one refusal that edge
	// remembers. A longer refusal is not remembered. A Status has a few hundred bytes.
	maxRefusalBody   = 16 << 10
	maxRefusalHeader = 4 << 10
	// refusalOverhead is the approximate memory, in bytes, that one remembered refusal needs beside
	// its content.
	refusalOverhead = 512
)

// refusalCache remembers for a short time how WebSockets were refused. A refused client may repeat
// the request over SPDY, and a load balancer may remove the Upgrade header of that request. Then
// edge sends the reason of the first refusal again. Only the client that received a refusal can
// receive it again. Each replica of edge has its own cache.
type refusalCache struct {
	mu    sync.Mutex
	byKey map[refusalKey]*list.Element
	order *list.List // elements are *cachedRefusalError, the oldest in front
	bytes int        // total size in bytes of all refusals
}

func newRefusalCache() *refusalCache {
	return &refusalCache{byKey: make(map[refusalKey]*list.Element), order: list.New()}
}

// refusalKey identifies the request that was refused. It is a digest of the requestor, the target
// identity, the path and the query.
type refusalKey [sha256.Size]byte

// refusalKeyOf returns the key under which edge remembers the refusal of a request. It returns nil
// if edge must not remember it: that is the case in edge connect, because no load balancer is
// between that client and edge.
func refusalKeyOf(id impersonate.Identity, u *url.URL) *refusalKey {
	if id.IsEdgeItself() {
		return nil
	}
	who, path := id.Digest(), u.EscapedPath()
	// The length of the path makes the encoding unique: no other pair of path and query gives the
	// same bytes.
	text := binary.AppendUvarint(who[:], uint64(len(path)))
	text = append(append(text, path...), u.RawQuery...)
	key := refusalKey(sha256.Sum256(text))
	return &key
}

// A cachedRefusalError is a refusal of a WebSocket that edge remembers: an answer of edge's own or of
// upstream. It is immutable. It is an error so that ModifyResponse can return it in place of the
// upstream answer.
type cachedRefusalError struct {
	key    refusalKey
	code   int
	header http.Header
	body   []byte
	size   int
	until  time.Time
}

func (a *cachedRefusalError) Error() string { return "repeated refusal of a WebSocket" }

func (a *cachedRefusalError) isExpired() bool { return !time.Now().Before(a.until) }

// repeatedHeaders are the headers of a remembered refusal that edge sends again, because they
// describe the refusal. Other headers belong to one connection or to one request.
var repeatedHeaders = []string{"Content-Type", "Warning", "Retry-After", httpstream.HeaderAcceptedProtocolVersions, status.HeaderAuditID}

// remember stores an answer to a WebSocket request if it is a refusal, is not too long and is not
// compressed. It keeps body without copying it.
func (m *refusalCache) remember(key *refusalKey, code int, header http.Header, body []byte) {
	if key == nil || code < http.StatusBadRequest || len(header["Content-Encoding"]) > 0 {
		return
	}
	a := &cachedRefusalError{key: *key, code: code, header: make(http.Header), body: body, until: time.Now().Add(refusalAge)}
	said := 0
	for _, name := range repeatedHeaders {
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
	for e := m.order.Front(); e != nil && m.mustDrop(e, a.size); e = m.order.Front() {
		m.drop(e)
	}
	m.byKey[*key] = m.order.PushBack(a)
	m.bytes += a.size
}

// mustDrop reports whether the oldest refusal has expired, or must be dropped so that a new one of
// size bytes fits. The caller holds the lock.
func (m *refusalCache) mustDrop(oldest *list.Element, size int) bool {
	return oldest.Value.(*cachedRefusalError).isExpired() || m.order.Len() >= maxRefusals || m.bytes+size > maxRefusalBytes
}

// recall returns the remembered refusal for key, or nil if there is none or it has expired.
func (m *refusalCache) recall(key *refusalKey) *cachedRefusalError {
	if key == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[*key]
	if e == nil {
		return nil
	}
	if e.Value.(*cachedRefusalError).isExpired() {
		m.drop(e)
		return nil
	}
	return e.Value.(*cachedRefusalError)
}

// forget removes the refusal for key, because the same WebSocket request was accepted now.
func (m *refusalCache) forget(key *refusalKey) {
	if key == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(m.byKey[*key])
}

// drop removes the refusal in e from the cache. e may be nil. The caller holds the lock.
func (m *refusalCache) drop(e *list.Element) {
	if e == nil {
		return
	}
	a := m.order.Remove(e).(*cachedRefusalError)
	delete(m.byKey, a.key)
	m.bytes -= a.size
}

// rememberOwn stores the refusal err of a request, which edge itself sends to the client with this
// header.
func (m *refusalCache) rememberOwn(key *refusalKey, header, request http.Header, err error) {
	if key == nil {
		return
	}
	s := status.Of(err)
	body := status.Encode(s)
	header = header.Clone()
	status.SetHeader(header, s, len(body), "application/json")
	status.SetAuditID(header, request, err)
	m.remember(key, int(s.Code), header, body)
}

// rememberUpstreams stores upstream's refusal of a WebSocket while its body is copied to the
// client. The refusal is stored before the client has received the end of the body.
func (m *refusalCache) rememberUpstreams(key *refusalKey, resp *http.Response) {
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

// keptBody keeps a copy of the bytes that are read from a body, unless the body is too long.
type keptBody struct {
	io.ReadCloser
	read      []byte
	announced int64             // body length from the header; negative: unknown, io.EOF ends the body
	whole     func(body []byte) // called once, with the whole body, and then set to nil; also nil if the body is too long
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
	if k.isWhole(err) {
		k.whole(k.read)
		k.read, k.whole = nil, nil
	}
	return n, err
}

// isWhole reports whether a Read that returned err was the last. A body ends with io.EOF itself: an
// error that wraps io.EOF means that the body broke off.
func (k *keptBody) isWhole(err error) bool {
	if k.announced < 0 {
		return err == io.EOF
	}
	return int64(len(k.read)) == k.announced
}

// write answers r with the remembered refusal. It clears the header and the URL of r.
func (a *cachedRefusalError) write(w http.ResponseWriter, r *http.Request) {
	status.NoteReason(w, status.ReasonUpgradeRequired)
	h := w.Header()
	for name, values := range a.header {
		h[name] = slices.Clone(values)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Cache-Control", "no-cache, private")
	h.Set("X-Content-Type-Options", "nosniff")
	u := status.BoundWrites(w, r, !status.HasBody(r))
	w.WriteHeader(a.code)
	if r.Method != http.MethodHead {
		w.Write(a.body)
	}
	u.Done()
}
