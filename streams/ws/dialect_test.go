package ws_test

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/ws"
)

var dialects = []ws.Dialect{ws.V1Channel, ws.V1Base64Channel, ws.V4Channel, ws.V4Base64Channel, ws.V5Channel}

func isBase64(d ws.Dialect) bool { return d == ws.V1Base64Channel || d == ws.V4Base64Channel }

// text converts a binary message to the text message with the same meaning in a base64 dialect.
func text(message string) string {
	if message == "" {
		return ""
	}
	return string('0'+message[0]) + base64.StdEncoding.EncodeToString([]byte(message[1:]))
}

// messageIn returns a message with a channel and a payload in dialect d. saidIn returns the channel
// and the payload of a message in dialect d.
func messageIn(d ws.Dialect, channel byte, payload string) []byte {
	m := string([]byte{channel}) + payload
	if isBase64(d) {
		m = text(m)
	}
	return []byte(m)
}

func saidIn(t *testing.T, d ws.Dialect, m []byte) (channel byte, payload []byte) {
	t.Helper()
	if !isBase64(d) {
		return m[0], m[1:]
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(string(m[1:]))
	if err != nil {
		t.Errorf("message %.50q: %v", m, err)
	}
	return m[0] - '0', payload
}

// inDialect converts frames of a client or server from the binary dialects to dialect d. Each
// message keeps its number of fragments, but is split at other places.
func inDialect(in []byte, d ws.Dialect) []byte {
	if !isBase64(d) {
		return in
	}
	type part struct {
		first   byte
		payload string
		masked  bool
	}
	var parts []part
	var open []int // indexes in the variable parts: the fragments of the current message
	say := func() {
		whole := ""
		for _, i := range open {
			whole += parts[i].payload
		}
		whole = text(whole)
		for n, i := range open {
			cut := len(whole) / (len(open) - n)
			parts[i].payload, whole = whole[:cut], whole[cut:]
		}
		open = nil
	}
	for len(in) > 0 {
		masked := in[1]&0x80 != 0
		head, n := payload(in)
		p := part{in[0], string(in[head : head+n]), masked}
		if masked {
			plain := unmasked(in[:head+n])
			p.payload = string(plain[len(plain)-n:])
		}
		in = in[head+n:]
		parts = append(parts, p)
		if p.first&0x8 == 0 {
			if open = append(open, len(parts)-1); p.first&fin != 0 {
				say()
			}
		}
	}
	if len(open) > 0 {
		say()
	}
	var out []byte
	for _, p := range parts {
		b := frame(p.first, p.payload)
		if !p.masked {
			b = unmasked(b)
		}
		out = append(out, b...)
	}
	return out
}

// payload returns, for the frame at the beginning of b, where the payload begins and its size.
func payload(b []byte) (head, n int) {
	head, n = 2, int(b[1]&0x7f)
	switch n {
	case 126:
		head, n = 4, int(b[2])<<8|int(b[3])
	case 127:
		head, n = 10, int(b[6])<<24|int(b[7])<<16|int(b[8])<<8|int(b[9])
	}
	if b[1]&0x80 != 0 {
		head += 4
	}
	return head, n
}

// TestDialects checks the subprotocol of each dialect.
func TestDialects(t *testing.T) {
	want := "channel.k8s.io base64.channel.k8s.io v4.channel.k8s.io v4.base64.channel.k8s.io v5.channel.k8s.io"
	var got []string
	for _, d := range dialects {
		got = append(got, d.String())
	}
	if strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// TestBase64Messages checks messages that are possible only in the base64 dialects.
func TestBase64Messages(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want string // expected data on stdin
		code int
	}{
		{name: "in text", in: frame(fin|opText, "0YWI="), want: "ab"},
		{name: "in binary", in: message("0YWI="), want: "ab"},
		{name: "with line ends", in: message("0YW\r\nI=\n"), want: "ab"},
		{name: "nothing but a line end", in: join(message("0\n"), message("0YQ==")), want: "a"},
		{
			name: "cut within a quantum",
			in:   join(frame(opText, "0Y"), frame(opContinuation, "W"), frame(opContinuation, ""), frame(opContinuation, "JjZ"), frame(fin|opContinuation, "A==")),
			want: "abcd",
		},
		{name: "each message pads", in: join(message("0YQ=="), message("0Yg==")), want: "ab"},
		{name: "channels that are no digit", in: join(message("\x00YQ=="), message("/YQ=="), message("\xffYQ=="), message("9YQ=="))},
		{name: "not base64, on an ignored channel", in: join(message("1?"), message("3Y"), message("7=="))},
		{name: "not base64", in: join(message("0YQ=="), message("0YWJj?")), want: "aabc", code: streams.CloseInvalid},
		{name: "no padding", in: message("0YWJjYQ"), want: "abca", code: streams.CloseInvalid},
		{name: "half of the padding", in: join(frame(opText, "0YQ="), frame(fin|opContinuation, "")), want: "a", code: streams.CloseInvalid},
		{name: "more after the padding", in: message("0YQ==YQ=="), want: "a", code: streams.CloseInvalid},
		{name: "of another alphabet", in: message("0-_-_"), code: streams.CloseInvalid},
		{name: "a size that is not base64", in: message("4" + size), code: streams.CloseInvalid},
	} {
		for _, d := range dialects {
			if !isBase64(d) {
				continue
			}
			t.Run(c.name+" "+d.String(), func(t *testing.T) {
				everySplit(t, c.in, func(src io.Reader) {
					e := read(t, src, d)
					// If a piece of the message is invalid, the data of this piece may or may not
					// be returned, depending on the split.
					if got := stdinOf(e.lines); got != c.want && (c.code == 0 || !strings.HasPrefix(c.want, got)) {
						t.Errorf("stdin %q, want %q", got, c.want)
					}
					if c.code == 0 && e.err != io.EOF || closeCode(e.err) != c.code {
						t.Errorf("ended with %v, want code %d", e.err, c.code)
					}
				})
			})
		}
	}
}
