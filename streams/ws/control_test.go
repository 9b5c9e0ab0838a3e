package ws_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"edge/streams/ws"
)

// appends are the functions that append the control frames of a server and of a client.
var appends = []struct {
	side       string
	ping, pong func(dst, payload []byte) []byte
	close      func(dst []byte, code int, reason string) []byte
}{
	{"server", ws.AppendPing, ws.AppendPong, ws.AppendClose},
	{"client", ws.AppendClientPing, ws.AppendClientPong, ws.AppendClientClose},
}

// TestAppendControl checks the bytes of the pings, pongs and Closes that the Append functions
// append.
func TestAppendControl(t *testing.T) {
	dst := []byte("before ")
	for _, s := range appends {
		for _, c := range []struct {
			name string
			got  []byte
			want string
		}{
			{"ping", s.ping(dst, nil), "\x89\x00"},
			{"ping with payload", s.ping(dst, []byte("abc")), "\x89\x03abc"},
			{"ping too long", s.ping(dst, bytes.Repeat([]byte("a"), 126)), "\x89\x7d" + strings.Repeat("a", 125)},
			{"pong", s.pong(dst, nil), "\x8a\x00"},
			{"pong with payload", s.pong(dst, []byte("abc")), "\x8a\x03abc"},
			{"close without a code", s.close(dst, 0, "reason"), "\x88\x00"},
			{"close", s.close(dst, 1000, ""), "\x88\x02\x03\xe8"},
			{"close with a reason", s.close(dst, 1011, "grün"), "\x88\x07\x03\xf3gr\xc3\xbcn"},
			{"close with a long reason", s.close(dst, 1000, strings.Repeat("a", 124)), "\x88\x7d\x03\xe8" + strings.Repeat("a", 123)},
			{"close with a long reason of wide characters", s.close(dst, 1000, strings.Repeat("ü", 62)), "\x88\x7c\x03\xe8" + strings.Repeat("ü", 61)},
			{"close with a reason that is not UTF-8", s.close(dst, 1000, "\xc3"), "\x88\x02\x03\xe8"},
			{"close with a code that must not be sent", s.close(dst, 1006, "reason"), "\x88\x00"},
			{"close with a status of SPDY", s.close(dst, 2, ""), "\x88\x00"},
		} {
			got, ok := strings.CutPrefix(string(c.got), string(dst))
			if !ok {
				t.Fatalf("%s, %s: %q", s.side, c.name, c.got)
			}
			if s.side == "client" {
				if c.got[len(dst)+1]&0x80 == 0 {
					t.Errorf("%s: no mask", c.name)
				}
				got = string(unmasked([]byte(got)))
			}
			if got != c.want {
				t.Errorf("%s, %s: %q, want %q", s.side, c.name, got, c.want)
			}
		}
	}
}

// TestCloseCodes checks that the same Close codes are accepted as in gorilla/websocket, and sent in
// the same form. gorilla does not know the newer code 1014.
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
