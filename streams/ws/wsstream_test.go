package ws_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"edge/streams"
	"edge/streams/ws"
)

// wsstreamHears returns what wsstream, the API server's WebSocket server, reads from a client's
// bytes on the stdin and resize channels.
func wsstreamHears(t *testing.T, d ws.Dialect, in []byte) (stdin, resize string) {
	subprotocol := d.String()
	type both struct{ stdin, resize string }
	open, c := make(chan bool, 1), make(chan both, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{subprotocol: {Binary: !isBase64(d), Channels: []wsstream.ChannelType{
			wsstream.ReadChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.ReadChannel,
		}}})
		_, channels, err := conn.Open(w, r)
		open <- err == nil
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		sizes := make(chan string)
		go func() {
			b, _ := io.ReadAll(channels[4])
			sizes <- string(b)
		}()
		b, _ := io.ReadAll(channels[0])
		c <- both{string(b), <-sizes}
	}))
	defer srv.Close()
	dialer := websocket.Dialer{Subprotocols: []string{subprotocol}}
	client, _, err := dialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// Wait until Open has returned: if input ended the session before that, Open could return an
	// error.
	if !<-open {
		return "", ""
	}
	if _, err := client.NetConn().Write(in); err != nil {
		t.Fatal(err)
	}
	got := <-c
	return got.stdin, got.resize
}

// TestAsWsstream checks that a client's messages have the same meaning for ExecDownstreamSource as for
// wsstream, the API server's WebSocket package, as the package doc states. The client sends probe
// messages after each input: which of them arrive shows whether a channel, or the session, was
// ended.
func TestAsWsstream(t *testing.T) {
	probes := join(message("\x00probe"), message("\x04"+size), frame(fin|opClose, "\x03\xe8"))
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"nothing", nil},
		{"stdin", message("\x00a")},
		{"text", frame(fin|opText, "\x00a")},
		{"text that is not UTF-8", frame(fin|opText, "\x00\xc3")},
		{"resize", message("\x04" + size)},
		{"resize in text", frame(fin|opText, "\x04"+size)},
		{"empty message", message("")},
		{"empty text", frame(fin|opText, "")},
		{"empty stdin", message("\x00")},
		{"empty resize", message("\x04")},
		{"channel 1", message("\x01a")},
		{"channel 2", message("\x02a")},
		{"channel 3", message("\x03a")},
		{"channel 5", message("\x05a")},
		{"channel 48", message("0YQ==")},
		{"channel 254", message("\xfea")},
		{"channel 255", message("\xff")},
		{"half-close of stdin", message("\xff\x00")},
		{"half-close of stdin in text", frame(fin|opText, "\xff\x00")},
		{"half-close of stdin, twice", join(message("\xff\x00"), message("\xff\x00"))},
		{"half-close of stdout", message("\xff\x01")},
		{"half-close of stderr", message("\xff\x02")},
		{"half-close of error", message("\xff\x03")},
		{"half-close of resize", message("\xff\x04")},
		{"half-close of both", join(message("\xff\x04"), message("\xff\x00"))},
		{"half-close of channel 5", message("\xff\x05")},
		{"half-close of channel 255", message("\xff\xff")},
		{"half-close of two", message("\xff\x00\x04")},
		{"half-close and more", message("\xff\x00aaaaaaaaaaaaa")},
		{"ping and pong", join(frame(fin|opPing, "a"), frame(fin|opPong, ""))},
		{"unmasked frame", []byte("\x82\x02\x00a")},
	} {
		for _, d := range dialects {
			asWsstream(t, c.name, inDialect(join(c.in, probes), d), d)
		}
	}
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"binary", message("0YQ==")},
		{"line ends", join(message("0Y\r\nQ=\n="), message("0\n"))},
		{"excess bits", message("0YR==")},
		{"padding in each", join(message("0YQ=="), message("0YQ=="))},
		{"channels that are no digit", join(message("\x00YQ=="), message("/YQ=="), message("\xffYQ=="), message("\xff\x00"))},
		{"not base64, on an ignored channel", join(message("1?"), message("3Y"), message("7=="))},
	} {
		for _, d := range []ws.Dialect{ws.V1Base64Channel, ws.V4Base64Channel} {
			asWsstream(t, c.name, join(c.in, inDialect(probes, d)), d)
		}
	}
}

func asWsstream(t *testing.T, name string, in []byte, d ws.Dialect) {
	wantStdin, wantResize := wsstreamHears(t, d, in)
	lines := read(t, split(in), d).lines
	gotStdin, gotResize := stdinOf(lines), ""
	for _, l := range lines {
		var s string
		if n, _ := fmt.Sscanf(l, "resize terminal %q", &s); n == 1 {
			gotResize += s
		}
	}
	if gotStdin != wantStdin || gotResize != wantResize {
		t.Errorf("%s, %v: stdin %q and resize %q, to wsstream %q and %q", name, d, gotStdin, gotResize, wantStdin, wantResize)
	}
}

// TestUnlikeWsstream checks that invalid base64 is a protocol error for ExecDownstreamSource, while
// wsstream, the API server's WebSocket package, drops the message.
func TestUnlikeWsstream(t *testing.T) {
	d := ws.V4Base64Channel
	in := join(message("0YQ=="), message("0YWJj?"), message("0Yg=="), frame(fin|opClose, "\x03\xe8"))
	if stdin, _ := wsstreamHears(t, d, in); stdin != "ab" {
		t.Errorf("stdin %q to wsstream", stdin)
	}
	e := read(t, split(in), d)
	if stdin := stdinOf(e.lines); stdin != "a" || closeCode(e.err) != streams.CloseInvalid {
		t.Errorf("stdin %q, %v", stdin, e.err)
	}
}
