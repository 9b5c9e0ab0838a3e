package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	bigint "math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"edge/e2e/testbed/cluster"
)

// TestUntakenRefusal checks clients whose HTTP/2 flow-control window is 0, so that edge cannot send
// them the body of a response. Such clients must not make edge hold memory with thousands of
// requests that each have thousands of tiny headers.
func TestUntakenRefusal(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	const connections, each, tiny = 100, 20, 3_000
	f := startFlooded(t)
	most := 0
	for range connections {
		c := dialFrames(t, f.as(""))
		defer c.Close()
		var headers [][2]string
		for i := range tiny {
			headers = append(headers, [2]string{fmt.Sprintf("a%d", i), ""})
		}
		err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		// err is not nil if edge has closed the connection; edge may do so, and then the client
		// stops
		for i := 0; i < each && err == nil; i++ {
			err = writeHead(c, uint32(2*i+1), c.head("GET", podsURI, headers...))
		}
		f.bystander.await(t, 1)
		most = max(most, resident(t, f.Edge))
	}
	f.bystander.await(t, 20)
	most = max(most, resident(t, f.Edge))
	if most > f.before+mostGrowth+headerBudget {
		t.Errorf("%d KiB more resident memory, want at most %d", (most-f.before)>>10, (mostGrowth+headerBudget)>>10)
	}
	t.Logf("%d KiB more memory, %d requests of a bystander", (most-f.before)>>10, f.bystander.served.Load())
	f.end(t)
}

// writeHead writes an HTTP/2 header block in as many frames as necessary.
func writeHead(c *framed, stream uint32, block []byte) error {
	const most = 16 << 10
	n := min(len(block), most)
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0 && err == nil; block = block[n:] {
		n = min(len(block), most)
		err = c.WriteContinuation(stream, n == len(block), block[:n])
	}
	return err
}

// TestBodyThatNeverComes checks requests that announce a body but send none. edge must refuse each
// request at once, close its connection, and keep none of its 12,000 header lines in memory.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	// 8 workers send requests at the same time, each with 12,000 header lines. edge counts 256
	// bytes for each line, so 24 MiB in total. That is less than edge's memory budget of 64 MiB for
	// headers; beyond the budget, edge would answer 503 or close a connection.
	const connections, workers, lines = 200, 8, 12_000
	f := startFlooded(t)
	var mu sync.Mutex
	most := 0
	eachOf(connections, workers, func(int) {
		conn := dial(t.Context(), t, f.as(""), "", "http/1.1")
		defer conn.Close()
		head := "POST " + podsURI + " HTTP/1.1\r\nHost: " + host(f.as("")) + "\r\nContent-Length: 10\r\n" + strings.Repeat("a:\r\n", lines) + "\r\n"
		if _, err := io.WriteString(conn, head); err != nil {
			t.Errorf("writing: %v", err)
			return
		}
		answers := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || !resp.Close {
			t.Errorf("not refused at once: %v, %v", resp, err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		if _, err := answers.ReadByte(); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("edge did not close the connection")
		}
		mu.Lock()
		defer mu.Unlock()
		most = max(most, resident(t, f.Edge))
	})
	f.bystander.await(t, 20)
	most = max(most, resident(t, f.Edge))
	if most > f.before+mostGrowth+headerBudget {
		t.Errorf("%d KiB more resident memory, want at most %d", (most-f.before)>>10, (mostGrowth+headerBudget)>>10)
	}
	t.Logf("%d KiB more memory, %d requests of a bystander", (most-f.before)>>10, f.bystander.served.Load())
	f.end(t)
}

// TestCertificateBomb checks that edge refuses a chain of hundreds of client certificates in the
// TLS handshake. It also checks a chain of the longest allowed length: edge must verify it only
// once per connection, however many requests arrive on the connection.
func TestCertificateBomb(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	on := sites[cluster.New].cluster
	a := attack(t, cluster.New, "--client-ca-file="+on.CAFile)
	b := stand(t, a.as(tokens["alice"]))
	before := settled(t, a.Edge, b)
	const most = 8 // number of certificates in the longest chain that edge accepts in a handshake

	// showing returns a TLS configuration for a client with a callback that always sends a chain of
	// n client certificates. Without the callback, Go's client sends only a certificate that an
	// authority in edge's list of CAs has issued.
	showing := func(n int) *tls.Config {
		shown := bomb(t, n)
		return &tls.Config{RootCAs: roots(a.as("")), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &shown, nil
		}}
	}
	config := showing(400)
	// with TLS 1.3, the client would notice edge's refusal only after its handshake
	config.MaxVersion = tls.VersionTLS12
	for range 50 { // 50 handshakes with 400 certificates each
		conn, err := tls.Dial("tcp", host(a.as("")), config)
		if err == nil {
			conn.Close()
			t.Fatal("edge accepted a chain of 400 certificates")
		}
	}

	client := strangerOf(t, showing(most))
	eachOf(2_000, 16, func(int) {
		if got, err := codeOf(t.Context(), client, a.as(""), podsURI, nil); err != nil || got != http.StatusUnauthorized {
			t.Errorf("with a chain of %d: %d, %v", most, got, err)
		}
	})
	b.await(t, 20)
	if after := resident(t, a.Edge); after > before+mostGrowth+headerBudget {
		t.Errorf("%d KiB more resident memory, want at most %d", (after-before)>>10, (mostGrowth+headerBudget)>>10)
	}
	b.stop()
}

// bomb returns a chain of n certificates: a leaf, and CA certificates that all have the same name.
// So edge must consider each CA certificate as the issuer of each other one.
func bomb(t *testing.T, n int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := pkix.Name{CommonName: "everybody"}
	made := tls.Certificate{PrivateKey: key}
	for i := range n {
		template := &x509.Certificate{
			SerialNumber: bigint.NewInt(int64(i + 1)), Subject: issuer, IsCA: i > 0, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		parent := &x509.Certificate{Subject: issuer}
		if i == 0 {
			template.Subject = pkix.Name{CommonName: "mallory"}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		made.Certificate = append(made.Certificate, der)
	}
	return made
}
