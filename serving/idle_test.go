package serving

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"golang.org/x/net/http2"
)

// TestIdleTimeouts checks that an authenticated connection stays open for IdleTimeout, and an
// unauthenticated one for UnknownIdleTimeout.
func TestIdleTimeouts(t *testing.T) {
	const long, short = 4100 * time.Second, 3 * time.Minute
	for name, c := range map[string]struct {
		protocol string
		line     string
		lasts    time.Duration
	}{
		"HTTP/1.1, known":     {"http/1.1", good, long},
		"HTTP/1.1, anonymous": {"http/1.1", "", short},
		"HTTP/1.1, refused":   {"http/1.1", bad, short},
		"HTTP/2, known":       {"h2", good, long},
		"HTTP/2, anonymous":   {"h2", "", short},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := piped(t, gate(hello), Config{IdleTimeout: long, UnknownIdleTimeout: short})
				began := time.Now()
				if c.protocol == "h2" {
					h2 := b.overHTTP2()
					_, token, _ := strings.Cut(c.line, ": ")
					if token == "" {
						ask(t.Context(), h2, "/")
					} else if _, _, err := ask(t.Context(), h2, "/", "Authorization", token); err != nil {
						t.Fatal(err)
					}
					for h2.CanTakeNewRequest() {
						time.Sleep(time.Second)
					}
				} else {
					conn := b.client(c.protocol)
					lines := []string{c.line}
					if c.line == "" {
						lines = nil
					}
					conn.get("/", lines...)
					conn.ended()
				}
				if took := time.Since(began); took < c.lasts || took > c.lasts+5*time.Second {
					t.Errorf("lasted %v, want %v", took, c.lasts)
				}
			})
		})
	}
}

// TestNothingComes checks that a handshake, a header or an HTTP/2 preface that never completes ends
// within UnknownIdleTimeout.
func TestNothingComes(t *testing.T) {
	for name, begin := range map[string]func(b *bed) net.Conn{
		"handshake": func(b *bed) net.Conn { return b.dial() },
		"header":    func(b *bed) net.Conn { return b.client("http/1.1") },
		"preface":   func(b *bed) net.Conn { return b.client("h2") },
		"drips": func(b *bed) net.Conn {
			c := b.client("h2")
			io.WriteString(c, http2.ClientPreface)
			f := http2.NewFramer(c, nil)
			var working sync.WaitGroup
			// No goroutine may sleep when the test ends, because synctest's fake clock stops with
			// the test.
			b.Cleanup(working.Wait)
			working.Go(func() { io.Copy(io.Discard, c) })
			f.WriteSettings()
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			working.Go(func() {
				for f.WriteContinuation(1, false, []byte{0x82}) == nil {
					time.Sleep(time.Second)
				}
			})
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := piped(t, hello, Config{IdleTimeout: time.Hour, UnknownIdleTimeout: 3 * time.Minute})
				began := time.Now()
				conn := begin(b)
				defer conn.Close()
				synctest.Wait() // waits until edge has accepted the connection
				if n := b.openNow(); n != 1 {
					t.Fatalf("%d connections at first", n)
				}
				for b.openNow() > 0 {
					time.Sleep(time.Second)
				}
				if took := time.Since(began); took > 3*time.Minute+5*time.Second {
					t.Errorf("lasted %v", took)
				}
			})
		})
	}
}

func (b *bed) openNow() int {
	b.conns.mu.Lock()
	defer b.conns.mu.Unlock()
	return b.conns.open
}

// TestMaxConnections checks the order in which connections are closed at the limit: first the
// unauthenticated one that has waited longest, then the authenticated one that has been idle
// longest, and never a busy one.
func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := piped(t, gate(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/busy" {
				<-release
			}
			hello(w, r)
		}), Config{MaxConnections: 4, IdleTimeout: time.Hour, UnknownIdleTimeout: time.Hour})
		isOpen := func(c net.Conn) bool {
			synctest.Wait()
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			c.SetReadDeadline(time.Time{})
			netErr, ok := err.(net.Error)
			return ok && netErr.Timeout()
		}
		busy := b.client("http/1.1")
		busy.send("/busy", good)
		first := b.client("http/1.1")
		first.get("/", good)
		time.Sleep(time.Second)
		dripping := b.dial() // a handshake that never completes
		time.Sleep(time.Second)
		refused := b.client("http/1.1")
		refused.get("/", bad)
		for _, goes := range []net.Conn{dripping, refused, first} {
			if !isOpen(goes) {
				t.Fatal("went too soon")
			}
			next := b.client("http/1.1")
			next.send("/busy", good)
			synctest.Wait()
			if isOpen(goes) {
				t.Fatal("is still there")
			}
		}
		if none := b.dial(); isOpen(none) {
			t.Error("a connection more than there may be")
		}
		close(release)
		if _, body := busy.answer(); body != "hello" {
			t.Error(body)
		}
	})
}

// TestNothingIsTaken checks that an unauthenticated HTTP/2 client that reads nothing, but keeps
// sending PINGs, is disconnected after unknownWriteTime. An authenticated client stays connected.
func TestNothingIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		token string
		lasts bool
	}{"known": {"Bearer good", true}, "refused": {"Bearer bad", false}, "anonymous": {"", false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := piped(t, gate(hello), Config{})
				conn := b.client("h2")
				io.WriteString(conn, http2.ClientPreface)
				f := http2.NewFramer(conn, conn)
				f.WriteSettings()
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(t, headersOf(c.token)...), EndHeaders: true, EndStream: true})
				for answered := false; !answered; {
					frame, err := f.ReadFrame()
					if err != nil {
						t.Fatal(err)
					}
					answered = frame.Header().StreamID == 1
				}
				var err error
				for end := time.Now().Add(2 * unknownWriteTime); err == nil && time.Now().Before(end); time.Sleep(time.Second) {
					conn.SetWriteDeadline(time.Now().Add(time.Second))
					_, err = conn.NetConn().Write(nil) // returns an error if the connection is closed
					if err == nil {
						err = f.WritePing(false, [8]byte{})
					}
				}
				if lasts := err == nil; lasts != c.lasts {
					t.Errorf("still there after %v: %v (%v)", 2*unknownWriteTime, lasts, err)
				}
			})
		})
	}
}

// TestEndedConnectionIsFreed checks that edge keeps nothing of an HTTP/2 connection that has ended
// while a request was in progress, such as a watch.
func TestEndedConnectionIsFreed(t *testing.T) {
	served := make(chan weak.Pointer[Conn], 1)
	b := start(t, func(_ http.ResponseWriter, r *http.Request) {
		Of(r).Authenticated()
		served <- weak.Make(Of(r))
		<-r.Context().Done()
	}, Config{IdleTimeout: time.Hour})
	c := b.client("h2")
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, nil)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(t, headersOf("")...), EndHeaders: true, EndStream: true})
	conn := <-served
	c.Close()
	for end := time.Now().Add(time.Minute); conn.Value() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("edge keeps the connection")
		}
		runtime.GC()
	}
}

// TestIdleClientIsTold checks that edge sends an idle HTTP/2 client a GOAWAY, and serves a request
// that was on its way then.
func TestIdleClientIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := piped(t, gate(hello), Config{IdleTimeout: time.Hour})
		c := b.client("h2")
		io.WriteString(c, http2.ClientPreface)
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		head := block(t, headersOf("Bearer good")...)
		sent, goneAway, ends := 0, 0, 0
		for {
			if sent == goneAway && sent < 2 {
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*sent + 1), BlockFragment: head, EndHeaders: true, EndStream: true})
				sent++
			}
			frame, err := f.ReadFrame()
			if err != nil {
				break
			}
			switch frame := frame.(type) {
			case *http2.GoAwayFrame:
				if goneAway++; frame.LastStreamID != anyStream || frame.ErrCode != http2.ErrCodeNo {
					t.Error(frame)
				}
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					f.WriteSettingsAck()
				}
			case *http2.PingFrame:
				f.WritePing(true, frame.Data)
			case *http2.DataFrame:
				if frame.StreamEnded() {
					ends++
				}
			}
		}
		if goneAway != 2 || ends != 2 {
			t.Errorf("%d GOAWAY and %d answers, want 2 of each: the second request is sent after the first GOAWAY", goneAway, ends)
		}
	})
}
