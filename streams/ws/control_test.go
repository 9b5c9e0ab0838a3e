package ws_test

import (
	"bytes"
	"strings"
	"testing"

	"edge/streams/ws"

	"github.com/gorilla/websocket"
)

func TestAppendControl(t *testing.T) {
	dst := []byte("before ")
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ping", ws.AppendPing(dst, nil), "\x89\x00"},
		{"ping with payload", ws.AppendPing(dst, []byte("abc")), "\x89\x03abc"},
		{"ping too long", ws.AppendPing(dst, bytes.Repeat([]byte("a"), 126)), "\x89\x7d" + strings.Repeat("a", 125)},
		{"pong", ws.AppendPong(dst, nil), "\x8a\x00"},
		{"pong with payload", ws.AppendPong(dst, []byte("abc")), "\x8a\x03abc"},
		{"close without a code", ws.AppendClose(dst, 0, "reason"), "\x88\x00"},
		{"close", ws.AppendClose(dst, 1000, ""), "\x88\x02\x03\xe8"},
		{"close with a reason", ws.AppendClose(dst, 1011, "grün"), "\x88\x07\x03\xf3gr\xc3\xbcn"},
		{"close with a long reason", ws.AppendClose(dst, 1000, strings.Repeat("a", 124)), "\x88\x7d\x03\xe8" + strings.Repeat("a", 123)},
		{"close with a long reason of wide characters", ws.AppendClose(dst, 1000, strings.Repeat("ü", 62)), "\x88\x7c\x03\xe8" + strings.Repeat("ü", 61)},
		{"close with a reason that is not UTF-8", ws.AppendClose(dst, 1000, "\xc3"), "\x88\x02\x03\xe8"},
		{"close with a code that must not be sent", ws.AppendClose(dst, 1006, "reason"), "\x88\x00"},
		{"close with a status of SPDY", ws.AppendClose(dst, 2, ""), "\x88\x00"},
	} {
		if want := "before " + c.want; string(c.got) != want {
			t.Errorf("%s: %q, want %q", c.name, c.got, want)
		}
	}
}

// What gorilla closes with, we take, and say alike. 1014 is younger than it.
func TestCloseCodes(t *testing.T) {
	for code := range 5100 {
		payload := string([]byte{byte(code >> 8), byte(code)})
		_, _, e := tunnel(split(frame(fin|opClose, payload)), 1)
		ours := closeCode(e.err) == 0
		body := websocket.FormatCloseMessage(code, "")
		theirs := gorilla(frame(fin|opClose, payload)).closed == code
		if ours != theirs && code != 1014 {
			t.Errorf("code %d: taken %v, by gorilla %v", code, ours, theirs)
		}
		if b := ws.AppendClose(nil, code, ""); ours && string(b[2:]) != string(body) {
			t.Errorf("code %d: sent as %q, by gorilla as %q", code, b[2:], body)
		}
	}
}
