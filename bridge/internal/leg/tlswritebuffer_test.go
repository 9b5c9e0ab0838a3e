package leg

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// loopback returns the two ends of a TCP connection. c, one of them, has a write buffer.
func loopback(tb testing.TB) (c *pollConn, peer *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(); accepted.Close() })
	return Pollable(conn).(*pollConn), accepted.(*net.TCPConn)
}

// writes is a connection that records each Write separately.
type writes struct {
	net.Conn // nil: there is no real connection behind this type
	said     []string
	most     int   // number of bytes that all Writes together may write; 0: no limit
	err      error // the error that a Write returns if it exceeds the field most
}

func (w *writes) Write(b []byte) (int, error) {
	if w.most > 0 && len(strings.Join(w.said, ""))+len(b) > w.most {
		return w.most - len(strings.Join(w.said, "")), w.err
	}
	w.said = append(w.said, string(b))
	return len(b), nil
}

// lengths returns the length of each Write.
func (w *writes) lengths() (n []int) {
	for _, s := range w.said {
		n = append(n, len(s))
	}
	return n
}

// TestCork checks that bytes that a writeBuffer holds back leave in as few writes as possible,
// complete and in order, and that the writeBuffer then releases its buffer.
func TestCork(t *testing.T) {
	const record = 16<<10 + 22
	for _, c := range []struct {
		name   string
		pieces []int
		writes []int
	}{
		{"none", nil, nil},
		{"one", []int{1}, []int{1}},
		{"a frame's records", []int{record, record, 36}, []int{2*record + 36}},
		{"as much as fits", []int{writeBufferSize - 1, 1}, []int{writeBufferSize}},
		{"a byte more", []int{writeBufferSize, 1}, []int{writeBufferSize, 1}},
		{"many records", []int{record, record, record, record, record, record}, []int{4 * record, 2 * record}},
		{"larger than the buffer", []int{1, writeBufferSize + 1, 1}, []int{1, writeBufferSize + 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w writes
			k := writeBuffer{conn: &w}
			var want bytes.Buffer
			k.hold()
			for _, n := range c.pieces {
				b := make([]byte, n)
				rand.Read(b)
				want.Write(b)
				if got, err := k.Write(b); got != n || err != nil {
					t.Fatalf("Write: %d, %v", got, err)
				}
				clear(b) // a writer may reuse its slice after Write has returned
			}
			if err := k.flush(); err != nil {
				t.Fatal(err)
			}
			if k.buf != nil || k.n != 0 {
				t.Errorf("the writeBuffer still holds %d bytes", k.n)
			}
			if got := w.lengths(); !slices.Equal(got, c.writes) {
				t.Errorf("writes of %v, want %v", got, c.writes)
			}
			if got := strings.Join(w.said, ""); got != want.String() {
				t.Errorf("%d bytes arrived that are not the %d that were written", len(got), want.Len())
			}
		})
	}
}

// TestCorkPulled checks that a writeBuffer holds nothing back before a call of hold and nothing
// after a call of flush.
func TestCorkPulled(t *testing.T) {
	var w writes
	k := writeBuffer{conn: &w}
	for range 2 {
		k.Write([]byte("ab"))
		k.Write([]byte("c"))
		k.hold()
		if err := k.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.lengths(); !slices.Equal(got, []int{2, 1, 2, 1}) || k.buf != nil {
		t.Errorf("writes of %v, buffer %v", got, k.buf != nil)
	}
}

// TestCorkBroken checks that a writeBuffer writes nothing more after a failed write, which may have
// ended in the middle of a TLS record. All later calls must return the same error.
func TestCorkBroken(t *testing.T) {
	broken := errors.New("broken")
	for name, say := range map[string]func(*writeBuffer) error{
		"pull": func(k *writeBuffer) error { return k.flush() },
		"full": func(k *writeBuffer) error { _, err := k.Write(make([]byte, writeBufferSize)); return err },
		"let by": func(k *writeBuffer) error {
			k.mu.Lock()
			k.holding = false
			k.mu.Unlock()
			_, err := k.Write([]byte("x"))
			return err
		},
	} {
		w := writes{most: 3, err: broken}
		k := writeBuffer{conn: &w}
		k.hold()
		if n, err := k.Write([]byte("abcdef")); n != 6 || err != nil {
			t.Fatalf("%s: Write: %d, %v", name, n, err)
		}
		if err := say(&k); err != broken {
			t.Errorf("%s: %v", name, err)
		}
		w.most = 0 // remove the limit: the connection would accept a write from now on
		k.hold()
		if n, err := k.Write([]byte("g")); n != 0 || err != broken {
			t.Errorf("%s: Write after it: %d, %v", name, n, err)
		}
		if err := k.flush(); err != broken || len(w.said) > 0 || k.buf != nil {
			t.Errorf("%s: pull after it: %v, written %q, buffer %v", name, err, w.said, k.buf != nil)
		}
	}
}

// TestCorkStuck checks that a write through a writeBuffer to a peer that does not read blocks until
// the deadline or Close.
func TestCorkStuck(t *testing.T) {
	for name, end := range map[string]func(*pollConn){
		"deadline": func(c *pollConn) { c.SetWriteDeadline(time.Now().Add(-time.Second)) },
		"close":    func(c *pollConn) { c.Close() },
	} {
		c, _ := loopback(t)
		c.hold()
		full := make(chan struct{})
		once := sync.OnceFunc(func() { close(full) })
		stuck := make(chan error, 1)
		go func() {
			b := make([]byte, writeBufferSize/2)
			for {
				if _, err := c.Write(b); err != nil {
					stuck <- err
					return
				}
				if c.unsent() > 0 {
					once()
				}
			}
		}()
		<-full
		end(c)
		err := <-stuck
		if want := map[string]error{"deadline": os.ErrDeadlineExceeded, "close": net.ErrClosed}[name]; !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if again := c.flush(); again != err || c.writeBuffer.buf != nil {
			t.Errorf("%s: pull: %v, buffer %v", name, again, c.writeBuffer.buf != nil)
		}
	}
}

// TestCorkShared checks that several goroutines may write through one writeBuffer: each Write
// arrives in one piece, whichever goroutine flushes.
func TestCorkShared(t *testing.T) {
	const writers, lines = 4, 2000
	c, peer := loopback(t)
	var saying sync.WaitGroup
	for i := range writers {
		line := strings.Repeat(string(rune('a'+i)), 99) + "\n"
		saying.Go(func() {
			for n := range lines {
				if n%3 == i%3 {
					c.hold()
				}
				if _, err := c.Write([]byte(line)); err != nil {
					t.Error(err)
					return
				}
				if n%5 == 0 {
					c.flush()
				}
			}
		})
	}
	go func() {
		saying.Wait()
		c.flush()
		c.CloseWrite()
	}()
	all, err := io.ReadAll(peer)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(all)) {
		if line != strings.Repeat(line[:1], 99)+"\n" {
			t.Fatalf("a line in pieces: %q", line)
		}
		count[line[:1]]++
	}
	for i := range writers {
		if n := count[string(rune('a'+i))]; n != lines {
			t.Errorf("%d lines of writer %d, want %d", n, i, lines)
		}
	}
}
