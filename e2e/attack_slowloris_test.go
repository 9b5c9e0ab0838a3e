package e2e

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// The size of the attack: clients without a login open more connections than edge has file
// descriptors.
const (
	slowFiles       = 2048
	slowConnections = slowFiles + 512
	slowWorkers     = 16
)

// TestSlowloris checks that slow clients do not exhaust edge's file descriptors. There are four
// kinds of slow clients: idle TLS connections, slow handshakes, slow HTTP/1 headers and slow HTTP/2
// headers. The clients of each kind open more connections than edge has file descriptors. Meanwhile
// edge must serve both a user who is already connected and a user who connects.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	edge := startEdge(t, testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Issuer: idp, Files: slowFiles})
	alice := edge.Access(tokens["alice"])
	b := stand(t, alice)
	before := settled(t, edge, b)
	for name, begin := range map[string]func() (net.Conn, error){
		"handshakes": func() (net.Conn, error) {
			conn, err := net.Dial("tcp", edge.Addr)
			if err == nil {
				conn.Write([]byte{22, 3, 1, 2, 0, 1})
			}
			return conn, err
		},
		"idle": func() (net.Conn, error) { return dial(t.Context(), t, edge.Access(""), "", "http/1.1"), nil },
		"headers": func() (net.Conn, error) {
			conn := dial(t.Context(), t, edge.Access(""), "", "http/1.1")
			_, err := io.WriteString(conn, "GET /api HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("A: b\r\n", 1000))
			return conn, err
		},
		"HTTP/2 headers": func() (net.Conn, error) {
			c := dialFrames(t, edge.Access(""))
			return c.Conn, c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head("GET", podsURI), EndStream: true})
		},
	} {
		conns := make(chan net.Conn, slowConnections)
		// While a user connects, the attackers open no connections. Otherwise edge could close the
		// user's connection before the user's first request, because edge closes the connection
		// that has waited longest without a login.
		var attack sync.RWMutex
		eachOf(slowConnections, slowWorkers, func(i int) {
			attack.RLock()
			conn, err := begin()
			attack.RUnlock()
			if err == nil {
				conns <- conn
			}
			if i%100 == 0 { // now and then, a new user connects
				attack.Lock()
				defer attack.Unlock()
				if got, err := codeOf(t.Context(), clientOf(t, alice), alice, podsURI+"?limit=1", nil); err != nil || got != http.StatusOK {
					t.Errorf("%s: a new user after %d connections: %d, %v", name, i, got, err)
				}
			}
		})
		b.await(t, 20)
		t.Logf("%s: %d connections, %d KiB more memory", name, len(conns), (resident(t, edge)-before)>>10)
		close(conns)
		for conn := range conns {
			conn.Close()
		}
	}
}
