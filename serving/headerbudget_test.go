package serving

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func headersOf(authorization string) []hpack.HeaderField {
	return []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: "/"},
		{Name: "authorization", Value: authorization},
	}
}

// limited starts a Server whose memory budget for unauthenticated connections is the parameter
// limit, in bytes.
func limited(t *testing.T, handler http.HandlerFunc, limit int64) *bed {
	b := start(t, handler, Config{})
	b.budget.mu.Lock()
	b.budget.limit = limit
	b.budget.mu.Unlock()
	return b
}

func (b *bed) used() int64 {
	b.budget.mu.Lock()
	defer b.budget.mu.Unlock()
	return b.budget.used
}

// await waits until the function in the parameter "is" returns true for the used bytes of the
// memory budget.
func (b *bed) await(is func(used int64) bool) {
	b.Helper()
	for end := time.Now().Add(time.Minute); !is(b.used()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%d bytes are used", b.used())
		}
	}
}

func zero(used int64) bool { return used == 0 }

// TestBudgetGoesToNewcomers checks that clients that never finish their headers lose their
// connections when the memory budget is exhausted, over HTTP/1.1 with a 503, and that new clients
// are served.
func TestBudgetGoesToNewcomers(t *testing.T) {
	const limit = 256 << 10
	b := limited(t, gate(hello), limit)
	var dripping []*client
	drip := strings.Repeat("X: y\r\n", 200) // costs 50 KiB of the budget: lineBytes for each line
	for range 20 {
		c := b.client("http/1.1")
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+drip)
		dripping = append(dripping, c)
	}
	b.await(func(used int64) bool { return used > limit/2 && used <= limit })
	for range 20 {
		if resp, body := b.client("http/1.1").get("/", good); resp.StatusCode != 200 {
			t.Error(resp.Status, body)
		}
	}
	refused := make(chan string, len(dripping))
	var readers sync.WaitGroup
	for _, c := range dripping {
		readers.Go(func() {
			if resp, err := http.ReadResponse(c.read, nil); err == nil {
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				refused <- fmt.Sprintf("%d %v %s %s", resp.StatusCode, resp.Close, resp.Header.Get("Retry-After"), body)
			}
		})
	}
	for range 15 { // at least 15 of the 20 clients are refused, because the budget is enough for 5
		if got := <-refused; !strings.HasPrefix(got, `503 true 1 {"kind":"Status"`) || !strings.Contains(got, "64 MiB") {
			t.Error(got)
		}
	}
	b.Close()
	readers.Wait()
	b.await(zero)
}

// TestBudgetOverHTTP2 checks that HTTP/2 fields of one byte cost lineBytes each, also in a header
// that never ends.
func TestBudgetOverHTTP2(t *testing.T) {
	const limit = 256 << 10
	b := limited(t, gate(hello), limit)
	c := b.client("h2")
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bytes.Repeat([]byte{0x82}, 800)})
	b.await(func(used int64) bool { return used == 800*lineBytes })
	f.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 800))
	c.ended()
	b.await(zero)
}

// TestBudgetIsGivenBack checks that no bytes of the memory budget remain in use after requests that
// end, are refused, are reset, or are refused before the handler, over HTTP/1.1 and HTTP/2.
func TestBudgetIsGivenBack(t *testing.T) {
	b := limited(t, gate(hello), headerBudget)
	c := b.client("http/1.1")
	for range 3 {
		c.get("/")
		b.await(zero)
	}
	c.get("/", bad)
	b.await(zero)
	raw := b.client("h2")
	io.WriteString(raw, http2.ClientPreface)
	f := http2.NewFramer(raw, raw)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Error(err)
				return
			}
			if ping, ok := frame.(*http2.PingFrame); ok && ping.IsAck() {
				return
			}
		}
	}()
	f.WriteSettings()
	for id := uint32(1); id < 200; id += 8 {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(t, headersOf("")...), EndHeaders: true})
		f.WriteRSTStream(id, http2.ErrCodeCancel)
		// A header without :path is invalid, so no handler starts for it.
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id + 2, BlockFragment: []byte{0x82}, EndHeaders: true, EndStream: true})
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id + 4, BlockFragment: block(t, headersOf("")...), EndHeaders: true, EndStream: true})
	}
	f.WritePing(false, [8]byte{1})
	<-answered // the server has answered a PING, so it has read all frames before it
	b.await(zero)
	known := b.client("http/1.1")
	known.get("/", good)
	io.WriteString(known, "GET / HTTP/1.1\r\nX: "+strings.Repeat("y", 100_000))
	if used := b.used(); used != 0 {
		t.Errorf("a known client's header: %d bytes", used)
	}
}

// TestAnswersThatNobodyReads is a row of the attack corpus in docs/security.md. It checks that a
// client which sends many requests at once on a new HTTP/2 connection, and reads no answer, loses
// its connection, because answers count against the memory budget until their clients take them. A
// new client is still served. The requests are anonymous, because after a few 401 answers edge
// reads no more requests of a connection.
func TestAnswersThatNobodyReads(t *testing.T) {
	const streams = 100
	b := limited(t, gate(hello), (streams-1)*answerCost)
	head := block(t, headersOf("")...)
	var clients sync.WaitGroup
	for range 10 {
		c := b.client("h2")
		f := http2.NewFramer(c, c)
		clients.Go(func() {
			for answers := 0; ; {
				frame, err := f.ReadFrame()
				if err != nil {
					return // edge has closed the connection
				}
				if _, ok := frame.(*http2.HeadersFrame); ok {
					answers++
				}
				if answers == streams {
					t.Errorf("edge keeps %d answers for one connection", streams)
					return
				}
			}
		})
		io.WriteString(c, http2.ClientPreface)
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for id := uint32(1); id < 2*streams; id += 2 {
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true, EndStream: true}) != nil {
				break // edge has closed the connection
			}
		}
	}
	clients.Wait()
	if resp, body := b.client("http/1.1").get("/", good); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status, body)
	}
}

// TestHandshakesCount checks that an incomplete handshake counts against the memory budget with the
// bytes that its client has sent.
func TestHandshakesCount(t *testing.T) {
	b := limited(t, hello, headerBudget)
	conn := b.dial()
	defer conn.Close()
	// hello is a TLS record of 16 KiB with the beginning of a ClientHello of 32 KiB.
	hello := append([]byte{22, 3, 1, 0x40, 0}, 1, 0, 0x80, 0)
	conn.Write(append(hello, make([]byte, 10_000)...))
	b.await(func(used int64) bool { return used >= 10_000 })
	conn.Close()
	b.await(zero)
}

// TestCountedAnswer checks that counting an unread answer against the memory budget does not change
// the answer: net/http adds the length of a short answer to an authenticated client, and an anonymous
// client reads its answer to the end.
func TestCountedAnswer(t *testing.T) {
	code := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, test := range map[string]struct {
		header  []string
		handler http.HandlerFunc
		code    int
		body    string
		length  int64
	}{
		"known":      {[]string{"Authorization", "Bearer good"}, hello, http.StatusOK, "hello", 5},
		"anonymous":  {nil, hello, http.StatusOK, "hello", -1},
		"no body":    {nil, code(http.StatusNoContent), http.StatusNoContent, "", -1},
		"unmodified": {nil, code(http.StatusNotModified), http.StatusNotModified, "", -1},
	} {
		t.Run(name, func(t *testing.T) {
			h2 := start(t, gate(test.handler), Config{}).overHTTP2()
			resp, body, err := ask(t.Context(), h2, "/", test.header...)
			if err != nil || resp.StatusCode != test.code || body != test.body || resp.ContentLength != test.length {
				t.Errorf("%+v %q, %v", resp, body, err)
			}
		})
	}
}
