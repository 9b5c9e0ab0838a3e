package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// TestClientBrokenBody checks a request whose body is malformed. edge must answer 400, and its log
// must not contain a warning about the API server.
func TestClientBrokenBody(t *testing.T) {
	t.Parallel()
	s := badDays(t)
	for name, send := range map[string]func(*testing.T, cluster.Access) answer{
		"a bad chunk":                          brokenChunk("zz\r\nno chunk\r\n"),
		"a bad chunk behind a good one":        brokenChunk("10\r\n" + strings.Repeat(" ", 16) + "\r\n-1\r\n"),
		"a chunk without its end":              brokenChunk("2\r\n  no end\r\n"),
		"HTTP/2, shorter than content-length":  brokenData(100, 10, 1),
		"HTTP/2, shorter, many frames":         brokenData(400_000, 10_000, 20),
		"HTTP/2, none, in spite of its length": brokenData(100, 0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp})
			to := edge.Access(tokens["alice"])
			if r := newHand(t, to).do(t.Context(), http.MethodGet, badMaps+"?limit=1", nil); r.err != nil || r.code != 200 {
				t.Fatal(r)
			}
			a := send(t, to)
			if a.code != http.StatusBadRequest || a.status().Code != http.StatusBadRequest {
				t.Errorf("%v, want 400 with a Status", a)
			}
			if r := newHand(t, to).do(t.Context(), http.MethodGet, badMaps+"?limit=1", nil); r.err != nil || r.code != 200 {
				t.Errorf("afterwards: %v", r)
			}
			said, err := edge.Process.Output()
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(said) {
				if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
					t.Errorf("edge's log: %s", line)
				}
			}
		})
	}
}

// brokenChunk returns a function that sends a POST with a chunked body. The body consists of these
// bytes and does not end.
func brokenChunk(body string) func(*testing.T, cluster.Access) answer {
	return func(t *testing.T, to cluster.Access) answer {
		conn := dial(t.Context(), t, to, "", "http/1.1")
		defer conn.Close()
		lines := []string{
			"POST " + badMaps + " HTTP/1.1", "Host: " + host(to), "Authorization: Bearer " + to.Token,
			"Content-Type: application/json", "Transfer-Encoding: chunked", "", body,
		}
		if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodPost})
		if err != nil {
			t.Fatal(err)
		}
		return read(t, resp)
	}
}

// brokenData returns a function that sends a POST over HTTP/2. Its Content-Length is larger than
// its body.
func brokenData(announced, frame, frames int) func(*testing.T, cluster.Access) answer {
	return func(t *testing.T, to cluster.Access) answer {
		conn := dial(t.Context(), t, to, "", "h2")
		defer conn.Close()
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		framer := http2.NewFramer(conn, conn)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(framer.WriteSettings())
		var head bytes.Buffer
		fields := hpack.NewEncoder(&head)
		for _, f := range [][2]string{
			{":method", "POST"}, {":scheme", "https"}, {":authority", host(to)}, {":path", badMaps}, {"authorization", "Bearer " + to.Token},
			{"content-type", "application/json"}, {"content-length", fmt.Sprint(announced)},
		} {
			must(fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}))
		for i := range frames {
			must(framer.WriteData(1, i == frames-1, bytes.Repeat([]byte(" "), frame)))
		}
		return readHTTP2(t, framer)
	}
}

// readHTTP2 reads the response to the request on HTTP/2 stream 1.
func readHTTP2(t *testing.T, framer *http2.Framer) (a answer) {
	t.Helper()
	a.header = http.Header{}
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("%v, %v", a, err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			fmt.Sscan(f.PseudoValue("status"), &a.code)
			for _, field := range f.RegularFields() {
				a.header.Add(field.Name, field.Value)
			}
		case *http2.DataFrame:
			a.body = append(a.body, f.Data()...)
		case *http2.RSTStreamFrame:
			t.Fatalf("%v, then the stream is reset: %v", a, f.ErrCode)
		case *http2.GoAwayFrame:
			t.Fatalf("%v, then the connection ends: %v", a, f.ErrCode)
		}
		if f.Header().StreamID == 1 && f.Header().Flags.Has(http2.FlagDataEndStream) {
			return a
		}
	}
}
