package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/testbed/cluster"
)

// stubborn is an upstream server that never switches protocols correctly. After its response to an
// upgrade, it reads on, like a server that treats the client's next bytes as another request, and
// stores these bytes. It answers all requests without Upgrade with an empty 200.
type stubborn struct {
	access cluster.Access

	running sync.WaitGroup // connections of upgrade requests that the server still reads

	mu    sync.Mutex
	asked int
	rest  bytes.Buffer // everything that the server received after the head of an upgrade request
}

// Limits for reading on a connection after the response to an upgrade, in bytes and in time.
const (
	mostRest = 1 << 20
	restTime = time.Second
)

func startStubborn(t *testing.T, answer string) *stubborn {
	t.Helper()
	s := &stubborn{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "smuggled") {
			s.read([]byte(r.RequestURI))
		}
		if r.Header.Get("Upgrade") == "" {
			return
		}
		s.mu.Lock()
		s.asked++
		s.running.Add(1)
		s.mu.Unlock()
		defer s.running.Done()
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, answer)
		if answer != "" {
			s.readOn(conn, buffered.Reader)
		}
	}))
	server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.access = cluster.Access{Server: server.URL, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	return s
}

func (s *stubborn) readOn(conn net.Conn, from *bufio.Reader) {
	conn.SetReadDeadline(time.Now().Add(restTime))
	b, _ := io.ReadAll(io.LimitReader(from, mostRest))
	s.read(b)
}

func (s *stubborn) read(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest.Write(b)
}

func (s *stubborn) upgrades() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// smuggled waits until no more bytes can arrive. It returns everything that the server received
// after the head of an upgrade request.
func (s *stubborn) smuggled() string {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rest.String()
}
