package ws_test

import (
	"bytes"
	"encoding/base64"
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

	"github.com/gorilla/websocket"

	"edge/streams/ws"
)

// seed calls the function add with captured bytes that clients sent or, with server set, that
// servers sent.
func seed(f *testing.F, server bool, add func([]byte)) {
	own := func(b []byte) {
		if server {
			b = unmasked(b)
		}
		add(b)
	}
	for _, c := range captures {
		b, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			f.Fatal(err)
		}
		if c.server == server {
			add(b)
		}
	}
	for _, c := range breaches {
		own(c.in)
	}
	for _, c := range base64Frames {
		own(c)
	}
	own(join(frame(opBinary, ""), frame(fin|opPing, "p"), frame(opContinuation, "\x04"), frame(fin|opContinuation, size)))
	own(join(message("\xff\x00"), message("\xff\x04"), message("\x00late"), frame(fin|opClose, "\x03\xf6")))
	own(join(frame(opBinary, "\x03{"), frame(fin|opContinuation, "}"), message("\x03again"), message("\x02late"), frame(fin|opClose, "")))
	own(message("\x00" + strings.Repeat("a", 70000)))
	own(message("\x01" + strings.Repeat("a", 70000)))
	own(message("\x03" + strings.Repeat("a", 70000)))
}

// base64Frames are frames of clients and servers in the base64 dialects, some of them invalid.
var base64Frames = [][]byte{
	join(frame(fin|opText, text("\x00ls\n")), frame(fin|opText, text("\x04"+size)), frame(fin|opClose, "\x03\xe8")),
	join(frame(fin|opText, text("\x01a.txt\n")), frame(fin|opText, text("\x02oh")), frame(fin|opText, text("\x03{}"))),
	join(frame(opText, "0YW"), frame(fin|opPing, "p"), frame(fin|opContinuation, "Jj\r\n")),
	join(frame(opText, "1YW"), frame(fin|opContinuation, "I=")),
	frame(fin|opText, "0YWJj?"), frame(fin|opText, "3YQ="), frame(fin|opText, "4YQ=="),
}

// FuzzExecDownstreamSource compares the frames that ExecDownstreamSource returns with its frames when the
// bytes come one by one. It also compares them with what gorilla/websocket's server reads,
// interpreted as the channel protocol. With and without KeepMasks the result must be the same.
func FuzzExecDownstreamSource(f *testing.F) {
	fuzzExec(f, false, readTwice, gorilla)
}

// FuzzExecUpstreamSource compares the frames that ExecUpstreamSource returns with its frames when the
// bytes come one by one, and with what gorilla/websocket's client reads.
func FuzzExecUpstreamSource(f *testing.F) {
	fuzzExec(f, true, readServer, gorillaClient)
}

func fuzzExec(f *testing.F, server bool, read func(testing.TB, io.Reader, ws.Dialect) *events, oracle func([]byte) *heard) {
	seed(f, server, func(b []byte) {
		for i := range dialects {
			f.Add(b, uint8(i))
		}
	})
	f.Fuzz(func(t *testing.T, in []byte, dialect uint8) {
		d := dialects[int(dialect)%len(dialects)]
		e := read(t, bytes.NewReader(in), d)
		again := read(t, iotest.OneByteReader(bytes.NewReader(in)), d)
		if !slices.Equal(e.lines, again.lines) || fmt.Sprint(e.err) != fmt.Sprint(again.err) {
			t.Fatalf("read at once: %q, %v\nbyte by byte: %q, %v", e.lines, e.err, again.lines, again.err)
		}
		got := newSaid()
		for _, l := range e.lines {
			stream, payload := "", ""
			switch kind, _, _ := strings.Cut(l, " "); kind {
			case "data":
				fmt.Sscanf(l, "data %s %q", &stream, &payload)
				got.data[stream] += payload
			case "close":
				got.closed = l
			case "answer":
				got.answers = append(got.answers, l)
			default:
				got.others = append(got.others, l)
			}
		}
		h := oracle(in)
		compare(t, got, h.exec(d, server), e.err, h)
	})
}

// FuzzTunnel compares the bytes that a Tunnel of each side returns with the bytes that it returns
// when its input comes byte by byte, and with what gorilla/websocket reads.
func FuzzTunnel(f *testing.F) {
	for _, server := range []bool{false, true} {
		seed(f, server, func(b []byte) {
			f.Add(b, 1, server)
			f.Add(b, 4096, server)
		})
	}
	f.Fuzz(func(t *testing.T, in []byte, size int, server bool) {
		tunnel, oracle := tunnel, gorilla
		if server {
			tunnel, oracle = clientTunnel, gorillaClient
		}
		size = 1 + max(size, -size, 0)%5000
		tun, b, e := tunnel(bytes.NewReader(in), size)
		_, again, e2 := tunnel(iotest.OneByteReader(bytes.NewReader(in)), size)
		if !bytes.Equal(b, again) || !slices.Equal(e.lines, e2.lines) || fmt.Sprint(e.err) != fmt.Sprint(e2.err) {
			t.Fatalf("read at once: %q, %q, %v\nbyte by byte: %q, %q, %v", b, e.lines, e.err, again, e2.lines, e2.err)
		}
		got := newSaid()
		got.data["tunnel"], got.answers = string(b), e.lines
		if code, closed := tun.Closed(); closed {
			got.closed = fmt.Sprintf("close %d", code)
		}
		h := oracle(in)
		compare(t, got, h.tunnel(), e.err, h)
	})
}

// said is what a peer sent, independent of how the bytes were split.
type said struct {
	data    map[string]string // data of each stream
	others  []string          // resizes, half-closes, a status
	answers []string
	closed  string
}

func newSaid() said { return said{data: map[string]string{}} }

func (h *heard) common() said {
	s := newSaid()
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

// exec interprets the messages that gorilla read as the channel protocol of dialect d, sent by a
// server or by a client.
func (h *heard) exec(d ws.Dialect, server bool) said {
	s := h.common()
	ended := map[byte]bool{}
	for _, m := range h.messages {
		if len(m.b) == 0 {
			continue
		}
		channel, b := m.b[0], m.b[1:]
		good := true
		if isBase64(d) {
			channel -= '0'
			b, good = decodeMost(b)
		}
		whole := m.whole && good && !ended[channel]
		switch {
		case !server && channel == 0 && !ended[0], server && (channel == 1 || channel == 2):
			if len(b) > 0 {
				s.data[[]string{"stdin", "stdout", "stderr"}[channel]] += string(b)
			}
		case !server && channel == 4 && whole && len(b) <= 256:
			var v struct{ Width, Height *uint16 }
			if json.Unmarshal(b, &v) == nil && v.Width != nil && v.Height != nil {
				s.others = append(s.others, fmt.Sprintf("resize terminal %q", b))
			}
		case server && channel == 3 && whole && len(b) > 0:
			ended[3] = true
			s.others = append(s.others, fmt.Sprintf("status error %q", b))
		case !server && channel == 255 && d == ws.V5Channel && m.whole && len(b) == 1 && !ended[b[0]]:
			ended[b[0]] = true
			if name := map[byte]string{0: "stdin", 4: "terminal"}[b[0]]; name != "" {
				s.others = append(s.others, "half-close "+name)
			}
		}
	}
	return s
}

// decodeMost decodes base64. If b is invalid, it returns the bytes before the error, and false.
func decodeMost(b []byte) ([]byte, bool) {
	if all, err := base64.StdEncoding.DecodeString(string(b)); err == nil {
		return all, true
	}
	alphabet := func(c byte) bool {
		_, err := base64.RawStdEncoding.DecodeString("AAA" + string(rune(c)))
		return err == nil && c < 0x80 && c != '\r' && c != '\n'
	}
	var most []byte
	for _, c := range b {
		if alphabet(c) {
			most = append(most, c)
		} else if c != '\r' && c != '\n' {
			break
		}
	}
	if len(most)%4 == 1 {
		most = most[:len(most)-1]
	}
	all, _ := base64.RawStdEncoding.DecodeString(string(most))
	return all, false
}

func (h *heard) tunnel() said {
	s := h.common()
	s.data["tunnel"] = ""
	for _, m := range h.messages {
		if m.text {
			break
		}
		s.data["tunnel"] += string(m.b)
	}
	return s
}

// stricter are parts of the texts of errors that this package returns where gorilla/websocket
// accepts the input.
var stricter = []string{"shortest form", "empty fragments", "payload of one byte", "terminal size", "status of more", "half-close", "base64", "text message"}

// compare compares what this package read from a peer's bytes, and the error at the end, with what
// gorilla/websocket read. Before a protocol error or the end of the bytes, this package may return
// less: it returns a Data frame only if the frame is complete.
func compare(t *testing.T, got, want said, err error, h *heard) {
	t.Helper()
	var closed *websocket.CloseError // gorilla returns this error also at the end of the connection
	theirBreach := !errors.As(h.err, &closed)
	if strings.HasSuffix(got.closed, " 1014") { // gorilla does not know the newer code 1014
		want.closed, theirBreach = got.closed, false
	}
	breach := closeCode(err) != 0
	switch {
	// gorilla returns ErrReadLimit for a length of 2^63, and for a sum of lengths that overflows.
	// This package adds no lengths, so it may accept the bytes.
	case h.err == websocket.ErrReadLimit:
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
		for stream, data := range got.data {
			if !strings.HasPrefix(want.data[stream], data) {
				t.Fatalf("%s: got %.500q, %v\nwant at most %.500q, %v", stream, data, err, want.data[stream], h.err)
			}
		}
		if !same(got.others, want.others) || !same(got.answers, want.answers) || got.closed != "" {
			t.Fatalf("got  %.500q, %v\nwant at most %.500q, %v", got, err, want, h.err)
		}
	} else if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Fatalf("got  %.500q, %v\nwant %.500q, %v", got, err, want, h.err)
	}
}
