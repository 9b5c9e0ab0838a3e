package bridge_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"reflect"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// janesHeader is the header that the API server must receive from edge for jane, whatever jane's
// client sends.
var janesHeader = http.Header{
	"Authorization":                        {"Bearer " + edgeToken},
	"Impersonate-User":                     {"jane"},
	"Impersonate-Uid":                      {"u-1"},
	"Impersonate-Group":                    {"dev", "ops, eu"},
	"Impersonate-Extra-Example.com%2fteam": {"blue"},
	"X-Forwarded-For":                      {"127.0.0.1"},
	"User-Agent":                           {"test"},
}

// janes returns janesHeader with more headers added.
func janes(more http.Header) http.Header {
	h := maps.Clone(janesHeader)
	maps.Copy(h, more)
	return h
}

// connections are values of the header Connection that name other headers as hop-by-hop.
var connections = map[string][]string{
	"one":              {"Impersonate-User"},
	"a list, any case": {"impersonate-user,IMPERSONATE-GROUP , Impersonate-Uid"},
	"many lines":       {"Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Example.com%2fteam", "Authorization"},
	"empty items":      {" ,, Impersonate-User\t,,", ",", "Impersonate-Group,"},
	"with keep-alive":  {"keep-alive, Impersonate-User, X-Forwarded-For"},
	"another spelling": {"Impersonate_User, Impersonate-Extra-Example.com%2Fteam, IMPERSONATE-EXTRA-EXAMPLE.COM%2FTEAM"},
	"the Audit-ID":     {"Audit-ID, Impersonate-User"},
	"itself":           {"Connection, Impersonate-User"},
	"the stream's own": {"X-Stream-Protocol-Version, Upgrade, User-Agentx"},
}

// TestHopByHop is a row of the attack corpus in docs/security.md. A client names identity headers
// in Connection, and sends headers with a false user name, address and so on. The API server must
// still receive edge's headers for the client's identity, and all other headers unchanged.
func TestHopByHop(t *testing.T) {
	t.Parallel()
	answer := func(http.ResponseWriter, *http.Request) {} // answers 200, also to requests for streams
	api := &apiServer{refuse: answer, rest: answer}
	w := newWorld(t, api.start(t))
	claims := []string{
		"User-Agent: test", "Authorization: Bearer jane-s-own", "X-Forwarded-For: 10.0.0.1, 10.0.0.2", "X-Forwarded-Proto: http",
		"X-Forwarded-Host: evil.example", "Forwarded: for=10.0.0.1", "Proxy-Authorization: Basic eA==", "Proxy-Connection: keep-alive",
		"Keep-Alive: timeout=5", "TE: trailers, gzip", "X-Kept: 1", "X-Kept: 2",
	}
	streamed := http.Header{"Te": {"trailers"}, "X-Kept": {"1", "2"}, "Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"},
		"X-Stream-Protocol-Version": {"v4.channel.k8s.io"}, "Content-Length": {"0"}}
	forwarded := maps.Clone(streamed)
	forwarded["X-Stream-Protocol-Version"] = []string{"portforward.k8s.io"}
	for name, test := range map[string]struct {
		ask  []string
		body string
		want http.Header
	}{
		"GET":          {[]string{"GET /api/v1/pods HTTP/1.1", "Host: e"}, "", http.Header{"Te": {"trailers"}, "X-Kept": {"1", "2"}}},
		"POST":         {[]string{"POST /api/v1/pods HTTP/1.1", "Host: e", "Content-Length: 2"}, "{}", http.Header{"Te": {"trailers"}, "X-Kept": {"1", "2"}, "Content-Length": {"2"}}},
		"websocket v5": {upgrades["websocket v5"], "", streamed},
		"websocket v4": {upgrades["websocket v4"], "", streamed},
		"spdy exec":    {upgrades["spdy exec"], "", streamed},
		"tunnel":       {upgrades["tunnel"], "", forwarded},
		"spdy forward": {upgrades["spdy forward"], "", forwarded},
		"opaque": {upgrades["opaque"], "", http.Header{"Te": {"trailers"}, "X-Kept": {"1", "2"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}},
	} {
		for form, connection := range connections {
			t.Run(name+", "+form, func(t *testing.T) {
				lines := append([]string(nil), test.ask...)
				for _, c := range connection {
					lines = append(lines, "Connection: "+c)
				}
				before := len(api.requests())
				c := dialRaw(t, w.edge)
				c.ask(test.body, append(lines, claims...)...)
				c.answer()
				c.Close()
				seen := api.requests()[before:]
				if len(seen) != 1 {
					t.Fatalf("upstream saw %d requests", len(seen))
				}
				got := withoutAuditID(t, seen[0].Header)
				if want := janes(test.want); !reflect.DeepEqual(got, want) {
					t.Errorf("upstream saw\n%v\nnot\n%v", got, want)
				}
			})
		}
	}
}

// TestHopByHopHTTP2 checks a Connection header in HTTP/2, which makes the request malformed (RFC
// 9113 section 8.2.2). If edge forwards such a request, the identity headers that edge adds must be
// complete.
func TestHopByHopHTTP2(t *testing.T) {
	t.Parallel()
	api := &apiServer{rest: func(http.ResponseWriter, *http.Request) {}}
	w := newWorld(t, api.start(t))
	for _, connection := range [][]string{nil, {"impersonate-user"}, {"Impersonate-User, impersonate-group"}, {"close", "impersonate-user"}} {
		conn, err := tls.Dial("tcp", w.edge.Listener.Addr().String(), tlsFor(w.edge, "h2"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, http2.ClientPreface)
		f := http2.NewFramer(conn, conn)
		f.WriteSettings()
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		fields := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "e"}, {":path", "/api"}, {"user-agent", "test"},
			{"x-forwarded-for", "10.0.0.1"}}
		for _, c := range connection {
			fields = append(fields, [2]string{"connection", c})
		}
		for _, field := range fields {
			enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
		before := len(api.requests())
		for answered := false; !answered; {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
				f.WriteSettingsAck()
			}
			answered = frame.Header().StreamID == 1
		}
		conn.Close()
		seen := api.requests()[before:]
		if connection == nil && len(seen) != 1 {
			t.Error("the good request did not arrive")
		}
		for _, r := range seen {
			if got, want := withoutAuditID(t, r.Header), janes(nil); !reflect.DeepEqual(got, want) {
				t.Errorf("upstream saw\n%v\nnot\n%v", got, want)
			}
		}
	}
}
