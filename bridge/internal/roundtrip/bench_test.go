package roundtrip_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/net/http2"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

// BenchmarkGET measures a small GET on an open connection, including the server. It compares edge's
// Transport with net/http's transport, which uses HTTP/2 of x/net.
func BenchmarkGET(b *testing.B) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") }))
	s.EnableHTTP2 = true
	testkit.StartTLS(s)
	defer s.Close()
	other := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}
	must(http2.ConfigureTransports(other))
	defer other.CloseIdleConnections()
	for name, rt := range map[string]http.RoundTripper{
		"edge":     newTransport(b, s.URL, func(c *roundtrip.Config) { c.Windows = new(roundtrip.Windows) }),
		"net-http": other,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read(must(rt.RoundTrip(must(http.NewRequest("GET", s.URL+"/", nil)))))
			}
		})
	}
}
