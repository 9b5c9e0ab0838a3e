package ws_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams/ws"

	"github.com/gorilla/websocket"
)

func seed(f *testing.F, add func([]byte)) {
	for _, c := range captures {
		b, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
	for _, c := range breaches {
		add(c.in)
	}
	add(join(frame(opBinary, ""), frame(fin|opPing, "p"), frame(opContinuation, "\x04"), frame(fin|opContinuation, size)))
	add(join(message("\xff\x00"), message("\xff\x04"), message("\x00late"), frame(fin|opClose, "\x03\xf6")))
	add(message("\x00" + strings.Repeat("a", 70000)))
}

// FuzzExecServerSource holds ExecServerSource against itself, with the bytes coming one by
// one, and against gorilla's server with the channel protocol on top of it.
func FuzzExecServerSource(f *testing.F) {
	seed(f, func(b []byte) {
		f.Add(b, false)
		f.Add(b, true)
	})
	f.Fuzz(func(t *testing.T, in []byte, v5 bool) {
		d := ws.V4Channel
		if v5 {
			d = ws.V5Channel
		}
		e := read(t, bytes.NewReader(in), d)
		again := read(t, iotest.OneByteReader(bytes.NewReader(in)), d)
		if !slices.Equal(e.lines, again.lines) || fmt.Sprint(e.err) != fmt.Sprint(again.err) {
			t.Fatalf("read at once: %q, %v\nbyte by byte: %q, %v", e.lines, e.err, again.lines, again.err)
		}
		got := said{}
		for _, l := range e.lines {
			var s string
			switch kind, _, _ := strings.Cut(l, " "); kind {
			case "data":
				fmt.Sscanf(l, "data stdin %q", &s)
				got.stdin += s
			case "close":
				got.closed = l
			case "answer":
				got.answers = append(got.answers, l)
			default:
				got.others = append(got.others, l)
			}
		}
		h := gorilla(in)
		compare(t, got, h.exec(v5), e.err, h)
	})
}

// FuzzTunnel does the same for Tunnel.
func FuzzTunnel(f *testing.F) {
	seed(f, func(b []byte) {
		f.Add(b, 1)
		f.Add(b, 4096)
	})
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		size = 1 + max(size, -size, 0)%5000
		tun, b, e := tunnel(bytes.NewReader(in), size)
		_, again, e2 := tunnel(iotest.OneByteReader(bytes.NewReader(in)), size)
		if !bytes.Equal(b, again) || !slices.Equal(e.lines, e2.lines) || fmt.Sprint(e.err) != fmt.Sprint(e2.err) {
			t.Fatalf("read at once: %q, %q, %v\nbyte by byte: %q, %q, %v", b, e.lines, e.err, again, e2.lines, e2.err)
		}
		got := said{stdin: string(b), answers: e.lines}
		if code, closed := tun.Closed(); closed {
			got.closed = fmt.Sprintf("close %d", code)
		}
		h := gorilla(in)
		compare(t, got, h.tunnel(), e.err, h)
	})
}

// said is what a client said, its bytes not cut.
type said struct {
	stdin   string
	others  []string // resizes and half-closes
	answers []string
	closed  string
}

func (h *heard) common() said {
	var s said
	for _, p := range h.pings {
		s.answers = append(s.answers, fmt.Sprintf("answer %q", "\x8a"+string(rune(len(p)))+p))
	}
	switch h.closed {
	case -1:
	case websocket.CloseNoStatusReceived:
		s.closed = "close 0"
	default:
		s.closed = fmt.Sprintf("close %d", h.closed)
	}
	return s
}

// exec is what the messages say in the channel protocol.
func (h *heard) exec(v5 bool) said {
	s := h.common()
	ended := map[byte]bool{}
	for _, m := range h.messages {
		if len(m.b) == 0 {
			continue
		}
		switch channel, b := m.b[0], m.b[1:]; {
		case channel == 0 && !ended[0]:
			s.stdin += string(b)
		case channel == 4 && !ended[4] && m.whole && len(b) <= 256:
			var v struct{ Width, Height *uint16 }
			if json.Unmarshal(b, &v) == nil && v.Width != nil && v.Height != nil {
				s.others = append(s.others, fmt.Sprintf("resize terminal %q", b))
			}
		case channel == 255 && v5 && m.whole && len(b) == 1 && !ended[b[0]]:
			ended[b[0]] = true
			if name := map[byte]string{0: "stdin", 4: "terminal"}[b[0]]; name != "" {
				s.others = append(s.others, "half-close "+name)
			}
		}
	}
	return s
}

func (h *heard) tunnel() said {
	s := h.common()
	for _, m := range h.messages {
		if m.text {
			break
		}
		s.stdin += string(m.b)
	}
	return s
}

// stricter are the reasons for which we refuse what gorilla takes, besides a
// text in a tunnel.
var stricter = []string{"fewest bytes", "empty fragments", "Close of one byte", "terminal size", "half-close", "text message"}

// compare holds what we made of a client's bytes, and how that ended, against
// what gorilla made of them. Up to a breach or a cut, ours may be less: a Data
// frame is whole or not there.
func compare(t *testing.T, got, want said, err error, h *heard) {
	t.Helper()
	var closed *websocket.CloseError // at the connection's end, too
	theirBreach := !errors.As(h.err, &closed)
	if strings.HasSuffix(got.closed, " 1014") { // younger than gorilla
		want.closed, theirBreach = got.closed, false
	}
	breach := closeCode(err) != 0
	switch {
	case h.err == websocket.ErrReadLimit: // a length of 2^63, or a sum of lengths, which we do not make
	case breach && !theirBreach:
		if !slices.ContainsFunc(stricter, func(s string) bool { return strings.Contains(err.Error(), s) }) {
			t.Fatalf("refused: %v; by gorilla not: %v", err, h.err)
		}
	case theirBreach && !breach:
		t.Fatalf("not refused: %v; by gorilla: %v", err, h.err)
	}
	same := func(got, want []string) bool {
		return len(got) <= len(want) && slices.Equal(got, want[:len(got)])
	}
	if breach || got.closed == "" && err == io.ErrUnexpectedEOF {
		if !strings.HasPrefix(want.stdin, got.stdin) || !same(got.others, want.others) || !same(got.answers, want.answers) || got.closed != "" {
			t.Fatalf("got  %.500q, %v\nwant at most %.500q, %v", got, err, want, h.err)
		}
	} else if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Fatalf("got  %.500q, %v\nwant %.500q, %v", got, err, want, h.err)
	}
}
