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

// refusalCache remembers for a moment how WebSockets were refused: a client that asks for the same over SPDY next, and whose
// Upgrade a load balancer takes off, is to read the reason. Each is for who got it alone. It is one replica's memory.
type refusalCache struct {
	mu    sync.Mutex
	byKey map[refusalKey]*list.Element
	order *list.List // of *cachedRefusal, the oldest in front
	bytes int        // of all
}

func newRefusalCache() *refusalCache {
	return &refusalCache{byKey: make(map[refusalKey]*list.Element), order: list.New()}
}

// refusalKey is the digest of who asks, for whom, and for which path and query.
type refusalKey [sha256.Size]byte

// refusalKeyOf is nil for who is remembered nothing: the owner of edge connect, whose way to it has no load balancer.
func refusalKeyOf(id impersonate.Identity, u *url.URL) *refusalKey {
	if id.IsEdgeItself() {
		return nil
	}
	who, path := id.Digest(), u.EscapedPath()
	text := binary.AppendUvarint(who[:], uint64(len(path))) // so that no other path and query are the same bytes
	text = append(append(text, path...), u.RawQuery...)
	key := refusalKey(sha256.Sum256(text))
	return &key
}

// A cachedRefusal is edge's own or upstream's. It is not changed. As an error it stands for the answer.
type cachedRefusal struct {
	key    refusalKey
	code   int
	header http.Header
	body   []byte
	size   int
	until  time.Time
}

func (a *cachedRefusal) Error() string { return "the refusal of a WebSocket, repeated" }

func (a *cachedRefusal) isExpired() bool { return !time.Now().Before(a.until) }

// repeatedHeaders are the headers that say something about a refusal. Others are about a connection, or for one request only.
var repeatedHeaders = []string{"Content-Type", "Warning", "Retry-After", httpstream.HeaderAcceptedProtocolVersions, status.HeaderAuditID}

// remember keeps an answer if it is a refusal, is not too long and can be read by everybody. The body is kept as it is.
func (m *refusalCache) remember(key *refusalKey, code int, header http.Header, body []byte) {
	if key == nil || code < http.StatusBadRequest || len(header["Content-Encoding"]) > 0 {
		return
	}
	a := &cachedRefusal{key: *key, code: code, header: make(http.Header), body: body, until: time.Now().Add(refusalAge)}
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

// mustDrop tells whether the oldest has expired, or makes room for one more of that size. The caller holds the lock.
func (m *refusalCache) mustDrop(oldest *list.Element, size int) bool {
	return oldest.Value.(*cachedRefusal).isExpired() || m.order.Len() >= maxRefusals || m.bytes+size > maxRefusalBytes
}

// recall returns what was answered; nil if nobody knows, or not any more.
func (m *refusalCache) recall(key *refusalKey) *cachedRefusal {
	if key == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[*key]
	if e == nil {
		return nil
	}
	if e.Value.(*cachedRefusal).isExpired() {
		m.drop(e)
		return nil
	}
	return e.Value.(*cachedRefusal)
}

// forget is for a WebSocket that was not refused this time.
func (m *refusalCache) forget(key *refusalKey) {
	if key == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(m.byKey[*key])
}

// drop takes one out. The caller holds the lock.
func (m *refusalCache) drop(e *list.Element) {
	if e == nil {
		return
	}
	a := m.order.Remove(e).(*cachedRefusal)
	delete(m.byKey, a.key)
	m.bytes -= a.size
}

// rememberOwn remembers a refusal of edge's own, which is to be written with this header.
func (m *refusalCache) rememberOwn(key *refusalKey, header http.Header, err error) {
	if key == nil {
		return
	}
	s := status.Of(err)
	body := status.Encode(s)
	header = header.Clone()
	status.SetHeader(header, s, len(body), "application/json")
	status.SetAuditID(header, err)
	m.remember(key, int(s.Code), header, body)
}

// rememberUpstreams remembers upstream's refusal while its body is read, before the last of it is.
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
	if k.isWhole(err) {
		k.whole(k.read)
		k.read, k.whole = nil, nil
	}
	return n, err
}

// isWhole tells whether a Read with that error was the last. The end is io.EOF itself: an error that wraps it is of a body that
// broke off.
func (k *keptBody) isWhole(err error) bool {
	if k.announced < 0 {
		return err == io.EOF
	}
	return int64(len(k.read)) == k.announced
}

// write gives the answer once more, to a request that has nothing left of its header then.
func (a *cachedRefusal) write(w http.ResponseWriter, r *http.Request) {
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
