package bridge

import (
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// numbered returns a key of the refusal cache that is unique for n.
func numbered(n int) *refusalKey {
	var key refusalKey
	binary.BigEndian.PutUint64(key[:], uint64(n))
	return &key
}

// TestRefusalAges checks that the refusal cache keeps a refusal for 10 s, however often it is read.
func TestRefusalAges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newRefusalCache()
		m.remember(numbered(1), 500, nil, []byte("no"))
		for range 10 {
			if a := m.recall(numbered(1)); a == nil || string(a.body) != "no" {
				t.Fatal("the refusal expired too early")
			}
			time.Sleep(refusalAge / 10)
		}
		if m.recall(numbered(1)) != nil {
			t.Error("the refusal expired too late")
		}
		if m.order.Len() != 0 || m.bytes != 0 || len(m.byKey) != 0 {
			t.Error("the expired refusal still uses memory")
		}
		m.remember(numbered(1), 500, nil, []byte("no"))
		time.Sleep(refusalAge / 2)
		m.remember(numbered(1), 403, nil, []byte("no, again"))
		time.Sleep(refusalAge / 2)
		if a := m.recall(numbered(1)); a == nil || a.code != 403 {
			t.Error("the second refusal has the age of the first")
		}
	})
}

// TestRefusalsAreBounded checks that the refusal cache bounds the number and the size of its
// entries. It removes expired entries first, then the oldest.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	counted := func(m *refusalCache) (n, bytes int) {
		for e := m.order.Front(); e != nil; e = e.Next() {
			n, bytes = n+1, bytes+e.Value.(*cachedRefusalError).size
		}
		if len(m.byKey) != n || m.bytes != bytes {
			t.Fatalf("%d and %d keys, %d and %d bytes", n, len(m.byKey), bytes, m.bytes)
		}
		return n, bytes
	}
	synctest.Test(t, func(t *testing.T) {
		m := newRefusalCache()
		for n := range 2 * maxRefusals {
			m.remember(numbered(n), 403, nil, nil)
		}
		if n, _ := counted(m); n != maxRefusals {
			t.Errorf("%d, want %d", n, maxRefusals)
		}
		if m.recall(numbered(maxRefusals-1)) != nil || m.recall(numbered(maxRefusals)) == nil || m.recall(numbered(2*maxRefusals-1)) == nil {
			t.Error("an entry other than the oldest was removed")
		}
		for n := range 1000 {
			m.remember(numbered(-n), 403, nil, make([]byte, n*17))
			if _, bytes := counted(m); bytes > maxRefusalBytes {
				t.Fatalf("%d bytes", bytes)
			}
		}
		if n, _ := counted(m); n < maxRefusalBytes/(maxRefusalBody+refusalOverhead)-1 {
			t.Errorf("%d are left", n)
		}
		for range 3 { // an entry with the same key replaces the old one
			m.remember(numbered(-999), 403, nil, make([]byte, maxRefusalBody))
		}
		counted(m)
		time.Sleep(refusalAge)
		m.remember(numbered(1), 403, nil, nil)
		if n, _ := counted(m); n != 1 {
			t.Errorf("%d expired refusals are left", n-1)
		}
		m.forget(numbered(1))
		if n, bytes := counted(m); n+bytes != 0 {
			t.Errorf("%d left, %d bytes", n, bytes)
		}
	})
}

// TestRefusalsTakeRefusalsOnly checks what the refusal cache stores: only refusals that are short
// and not compressed, and of their headers only those that describe the refusal.
func TestRefusalsTakeRefusalsOnly(t *testing.T) {
	t.Parallel()
	m := newRefusalCache()
	for code := 100; code < 400; code++ {
		m.remember(numbered(code), code, nil, nil)
	}
	m.remember(nil, 403, nil, nil)
	m.remember(numbered(1), 403, http.Header{"Content-Encoding": {"gzip"}}, nil)
	m.remember(numbered(2), 403, nil, make([]byte, maxRefusalBody+1))
	m.remember(numbered(3), 403, http.Header{"Warning": {strings.Repeat("x", maxRefusalHeader+1)}}, nil)
	if m.order.Len() != 0 {
		t.Errorf("%d were taken", m.order.Len())
	}
	m.remember(numbered(4), 403, http.Header{"Warning": {"w"}, "Set-Cookie": {"c=1"}, "Www-Authenticate": {"Basic"}, "Access-Control-Allow-Origin": {"*"},
		"Location": {"/"}, "Connection": {"close"}}, nil)
	if a := m.recall(numbered(4)); a == nil || len(a.header) != 1 || a.header.Get("Warning") != "w" {
		t.Errorf("%+v", a)
	}
}

// TestKeptBody checks that a refusal is in the cache before the client has the last byte of its
// body. The cache must store a body completely or not at all.
func TestKeptBody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		announced int64
		body      io.Reader
		want      string
	}{
		"announced":  {5, strings.NewReader("hello"), "hello"},
		"not":        {-1, strings.NewReader("hello"), "hello"},
		"empty":      {0, http.NoBody, ""},
		"broken":     {5, io.MultiReader(strings.NewReader("hell"), broken{io.ErrUnexpectedEOF}), "not kept"},
		"broken off": {-1, io.MultiReader(strings.NewReader("hell"), broken{io.ErrUnexpectedEOF}), "not kept"},
		"shorter":    {6, strings.NewReader("hello"), "not kept"},
		"too long":   {-1, strings.NewReader(strings.Repeat("x", maxRefusalBody+1)), "not kept"},
		"said to be": {maxRefusalBody + 1, strings.NewReader("hello"), "not kept"},
	} {
		m := newRefusalCache()
		resp := &http.Response{StatusCode: 403, ContentLength: test.announced, Body: io.NopCloser(test.body)}
		m.rememberUpstreams(numbered(1), resp)
		got := "not kept"
		read := 0
		for b := make([]byte, 1); ; {
			n, err := resp.Body.Read(b)
			read += n
			if test.announced >= 0 && int64(read) == test.announced && test.want != "not kept" && m.recall(numbered(1)) == nil {
				t.Errorf("%s: the body was read, but is not in the cache yet", name)
			}
			if err != nil {
				break
			}
		}
		if a := m.recall(numbered(1)); a != nil {
			got = string(a.body)
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// broken is a body whose Read fails with err, as the rest of an interrupted body.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
