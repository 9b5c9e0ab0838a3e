package bridge_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"edge/bridge"
)

// TestClientsBrokenBody checks a request body that violates HTTP or breaks off, which is the
// client's fault: edge must answer 400 and log no warning.
func TestClientsBrokenBody(t *testing.T) {
	t.Parallel()
	api := plainAPI(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	over1 := func(request string) func(*testing.T, *world) (int, []byte) {
		return func(t *testing.T, w *world) (int, []byte) {
			conn := must(tls.Dial("tcp", w.edge.Listener.Addr().String(), tlsFor(w.edge, "http/1.1")))
			defer conn.Close()
			io.WriteString(conn, "POST /api/v1/namespaces HTTP/1.1\r\nHost: edge\r\n"+request)
			resp := must(http.ReadResponse(bufio.NewReader(conn), nil))
			return resp.StatusCode, must(io.ReadAll(resp.Body))
		}
	}
	for name, send := range map[string]func(*testing.T, *world) (int, []byte){
		"bad chunk":       over1("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"),
		"bad chunk's end": over1("Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"),
		"shorter, HTTP/2": shortOverHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, api)
			code, body := send(t, w)
			var s metav1.Status
			if err := json.Unmarshal(body, &s); err != nil || code != http.StatusBadRequest || s.Code != http.StatusBadRequest || !strings.HasPrefix(s.Message, "edge: ") {
				t.Errorf("%d %s", code, body)
			}
			if log := w.log.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
				t.Errorf("a warning: %s", log)
			}
		})
	}
}

// shortOverHTTP2 sends a request that declares a body of 10 bytes and sends 3 of them.
func shortOverHTTP2(t *testing.T, w *world) (code int, body []byte) {
	conn := must(tls.Dial("tcp", w.edge.Listener.Addr().String(), tlsFor(w.edge, "h2")))
	defer conn.Close()
	io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.WriteSettings()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "edge"}, {":path", "/api/v1/namespaces"}, {"content-length", "10"}} {
		e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	f.WriteData(1, true, []byte("abc"))
	for {
		switch frame := must(f.ReadFrame()).(type) {
		case *http2.MetaHeadersFrame:
			fmt.Sscan(frame.PseudoValue("status"), &code)
		case *http2.DataFrame:
			body = append(body, frame.Data()...)
			if frame.StreamEnded() {
				return code, body
			}
		case *http2.RSTStreamFrame:
			t.Fatalf("reset: %v", frame.ErrCode)
		}
	}
}

// framesAPI starts an API server that reads the header of each request and then calls the function
// does, which writes HTTP/2 frames itself. If that function returns false, the server closes the
// connection. Its certificate is that of a server which serveTLS has started.
func framesAPI(t *testing.T, does func(f *http2.Framer, stream uint32) (goOn bool)) *rest.Config {
	borrowed := serveTLS(t, http.NotFoundHandler())
	l := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: borrowed.TLS.Certificates, NextProtos: []string{"h2"}}))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) {
				defer conn.Close()
				io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
				f := http2.NewFramer(conn, conn)
				f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					switch frame := frame.(type) {
					case *http2.SettingsFrame:
						if !frame.IsAck() {
							f.WriteSettingsAck()
						}
					case *http2.HeadersFrame:
						if !does(f, frame.StreamID) {
							return
						}
					}
				}
			}(conn)
		}
	}()
	cfg := configFor(borrowed)
	cfg.Host = "https://" + l.Addr().String()
	return cfg
}

// TestWhatBecameOfIt checks requests that the API server does not answer. edge's answer must state
// whether the API server may have executed the request.
func TestWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	refuses := func(f *http2.Framer, stream uint32) bool {
		f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		return true
	}
	ends := func(*http2.Framer, uint32) bool { return false }
	for name, test := range map[string]struct {
		does   func(*http2.Framer, uint32) bool
		method string
		body   int
		code   int
		says   string
		retry  string
	}{
		"not taken":                {does: refuses, method: "POST", body: 10, code: 503, says: "nothing was done", retry: "1"},
		"not taken, too long":      {does: refuses, method: "PUT", body: 4 << 20, code: 503, says: "nothing was done", retry: "1"},
		"not taken, read only":     {does: refuses, method: "GET", code: 503, says: "nothing was done", retry: "1"},
		"may be done":              {does: ends, method: "POST", body: 10, code: 502, says: "may have been done"},
		"may be done, no body":     {does: ends, method: "DELETE", code: 502, says: "may have been done"},
		"no answer, but read only": {does: ends, method: "GET", code: 502, says: "ended before its answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, log: new(syncBuffer)}
			w.front(framesAPI(t, test.does))
			req := must(http.NewRequest(test.method, w.edge.URL+"/api/v1/namespaces", bytes.NewReader(make([]byte, test.body))))
			if test.body == 0 {
				req.Body = nil
			}
			resp := must(w.client(t, true).Do(req))
			body := string(must(io.ReadAll(resp.Body)))
			if resp.StatusCode != test.code || !strings.Contains(body, test.says) || resp.Header.Get("Retry-After") != test.retry || !strings.Contains(body, `"kind":"Status"`) {
				t.Errorf("%s %s %s", resp.Status, resp.Header.Get("Retry-After"), body)
			}
			if test.method == "GET" && strings.Contains(body, "may have been") {
				t.Errorf("the answer to a GET states that it may have been done: %s", body)
			}
		})
	}
}

// TestNewTransport checks the transport for edge's own requests: it adds edge's credential, and
// sends a request again if the API server has not accepted it.
func TestNewTransport(t *testing.T) {
	t.Parallel()
	var first atomic.Int32
	cfg := framesAPI(t, func(f *http2.Framer, stream uint32) bool {
		if first.Add(1) == 1 {
			f.WriteGoAway(0, http2.ErrCodeNo, nil)
			return true
		}
		var block bytes.Buffer
		hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "201"})
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
		return true
	})
	cfg.BearerToken = edgeToken
	rt, end, err := bridge.NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	resp, err := rt.RoundTrip(must(http.NewRequest("POST", cfg.Host+"/apis", strings.NewReader("{}"))))
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("%v, %v", resp, err)
	}
}
