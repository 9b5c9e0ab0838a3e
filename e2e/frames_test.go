package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edge/e2e/testbed/cluster"
)

// framed is an HTTP/2 client that can write any frame, also invalid ones (RFC 9113). It reads from
// its connection only when a test calls ReadFrame or answer.
type framed struct {
	*tls.Conn
	*http2.Framer
	to     cluster.Access
	fields *hpack.Encoder
	block  bytes.Buffer
}

func dialFrames(t *testing.T, to cluster.Access) *framed {
	t.Helper()
	conn := dial(t.Context(), t, to, "", "h2")
	c := &framed{Conn: conn, Framer: http2.NewFramer(conn, conn), to: to}
	c.Framer.AllowIllegalWrites = true
	c.Framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fields = hpack.NewEncoder(&c.block)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// head returns the header block of a request, encoded with HPACK.
func (c *framed) head(method, uri string, more ...[2]string) []byte {
	c.block.Reset()
	fields := [][2]string{{":method", method}, {":scheme", "https"}, {":authority", host(c.to)}, {":path", uri}}
	if c.to.Token != "" {
		fields = append(fields, [2]string{"authorization", "Bearer " + c.to.Token})
	}
	for _, f := range append(fields, more...) {
		c.fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return c.block.Bytes()
}

// request opens a stream with HEADERS. If the parameter end is false, the header block continues in
// later frames.
func (c *framed) request(t *testing.T, stream uint32, end bool, method, uri string, more ...[2]string) {
	t.Helper()
	err := c.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: c.head(method, uri, more...), EndStream: true, EndHeaders: end,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mostFrames is how many HTTP/2 frames the method answer reads at most for one response.
const mostFrames = 100

// answer returns the status code of the response on a stream, or how the server ended the stream or
// the connection.
func (c *framed) answer(t *testing.T, stream uint32) string {
	t.Helper()
	for range mostFrames {
		frame, err := c.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return fmt.Sprint("reset: ", f.ErrCode)
			}
		case *http2.GoAwayFrame:
			return fmt.Sprint("go away: ", f.ErrCode)
		}
	}
	t.Fatal("no answer")
	return ""
}
