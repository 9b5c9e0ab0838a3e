package authn

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/testkit"
)

// clocked is a ClientCA with a clock for tests: its time changes only when the test sets it.
type clocked struct {
	*ClientCA
	mu   sync.Mutex
	time time.Time
}

func startClocked(t *testing.T, authorities ...*testkit.Authority) (c *clocked, file string) {
	ca, file := startClientCA(t, authorities...)
	c = &clocked{ClientCA: ca, time: time.Now()}
	ca.now = func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.time
	}
	return c, file
}

// connection is a TLS connection with a client certificate. Its field place stores edge's verdict
// on the certificate.
type connection struct {
	place atomic.Value
	state tls.ConnectionState
}

func connect(t *testing.T, certificate *tls.Certificate) *connection {
	c := new(connection)
	for _, der := range certificate.Certificate {
		c.state.PeerCertificates = append(c.state.PeerCertificates, testkit.Parse(t, der))
	}
	return c
}

// ask makes a request on a connection. It returns the request's sender, and how often the request
// caused edge to verify the certificate (judgments).
func (c *clocked) ask(on *connection) (who Result, judgments int, err error) {
	r := &http.Request{Header: http.Header{}, TLS: &on.state}
	c.CachePerConnection(func(*http.Request) *atomic.Value { return &on.place })
	who, _, err = c.judged(r, func() (Result, bool, error) {
		judgments++
		return c.judge(r)
	})
	return who, judgments, err
}

func (c *clocked) pass(d time.Duration) { c.time = c.time.Add(d) }

// TestVerdictLastsAsLongAsTheChain checks that the client certificate of a connection is verified
// once. When a certificate of the chain has expired, the client certificate is verified again and
// refused.
func TestVerdictLastsAsLongAsTheChain(t *testing.T) {
	root := testkit.NewAuthority(t, "root")
	brief := root.Under(t, "brief", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10 * time.Minute) })
	ca, _ := startClocked(t, root)
	conn := connect(t, brief.Client(t, pkix.Name{CommonName: "jane"}))
	for i, want := range []int{1, 0, 0} {
		if who, n, err := ca.ask(conn); err != nil || who.User.GetName() != "jane" || n != want {
			t.Fatalf("request %d: %v, %d judgments, %v", i, who, n, err)
		}
		ca.pass(4 * time.Minute)
	}
	if who, n, err := ca.ask(conn); err == nil || n != 1 || who.User != nil {
		t.Errorf("expired: %v, %d judgments, %v", who, n, err)
	}
	if _, n, err := ca.ask(connect(t, brief.Client(t, pkix.Name{CommonName: "jane"}))); err == nil || n != 1 {
		t.Errorf("another connection: %d judgments, %v", n, err)
	}
}

// TestVerdictOfARefusalIsShort checks that the refusal of a client certificate is stored for a
// minute only, because a certificate that is not valid yet becomes valid later.
func TestVerdictOfARefusalIsShort(t *testing.T) {
	ours := testkit.NewAuthority(t, "ours")
	ca, _ := startClocked(t, ours)
	conn := connect(t, ours.Client(t, pkix.Name{CommonName: "jane"}, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(90 * time.Second) }))
	for _, step := range []struct {
		after     time.Duration
		judgments int
		good      bool
	}{{0, 1, false}, {59 * time.Second, 0, false}, {2 * time.Second, 1, false}, {30 * time.Second, 0, false}, {30 * time.Second, 1, true}, {time.Minute, 0, true}} {
		ca.pass(step.after)
		if _, n, err := ca.ask(conn); (err == nil) != step.good || n != step.judgments {
			t.Errorf("after %v more: %d judgments, %v; want %+v", step.after, n, err, step)
		}
	}
}

// TestVerdictIsOfOneGeneration checks that a change of the CA file invalidates all stored verdicts
// on client certificates, acceptances and refusals.
func TestVerdictIsOfOneGeneration(t *testing.T) {
	ours, others := testkit.NewAuthority(t, "ours"), testkit.NewAuthority(t, "others")
	ca, file := startClocked(t, ours)
	good, bad := connect(t, ours.Client(t, pkix.Name{CommonName: "jane"})), connect(t, others.Client(t, pkix.Name{CommonName: "jim"}))
	check := func(when string, jane, jim bool, judgments int) {
		t.Helper()
		for conn, want := range map[*connection]bool{good: jane, bad: jim} {
			if _, n, err := ca.ask(conn); (err == nil) != want || n != judgments {
				t.Errorf("%s: %d judgments, %v", when, n, err)
			}
		}
	}
	check("at first", true, false, 1)
	check("then", true, false, 0)
	before := ca.Content().CurrentCABundleContent()
	write(t, file, others)
	// Only wait here until the ClientCA ca has read the new file by itself. If the test made ca
	// read it once more, ca would create another CA pool, and stored verdicts would be invalid
	// again.
	testkit.WaitFor(t, "the file to be read again", func() bool {
		return !bytes.Equal(ca.Content().CurrentCABundleContent(), before)
	})
	check("with another file", false, true, 1)
	check("then", false, true, 0)
}

// TestCertificateBomb checks that a costly certificate chain, of intermediates that all have the
// same name, is verified once per connection, however many requests arrive at one time.
func TestCertificateBomb(t *testing.T) {
	root := testkit.NewAuthority(t, "root")
	bomb := testkit.NewAuthority(t, "other").Client(t, pkix.Name{CommonName: "jane"})
	for i := range 7 { // 7 intermediate certificates and the leaf certificate are as many as a TLS handshake accepts
		other := testkit.NewAuthority(t, "other", func(c *x509.Certificate) { c.SubjectKeyId = []byte(fmt.Sprint(i)) })
		bomb.Certificate = append(bomb.Certificate, other.Cert.Raw)
	}
	ca, _ := startClocked(t, root)
	conn := connect(t, bomb)
	ca.CachePerConnection(func(*http.Request) *atomic.Value { return &conn.place })
	var judgments atomic.Int32
	var asking sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		asking.Go(func() {
			r := &http.Request{Header: http.Header{}, TLS: &conn.state}
			_, _, errs[i] = ca.judged(r, func() (Result, bool, error) {
				judgments.Add(1)
				return ca.judge(r)
			})
		})
	}
	asking.Wait()
	if n := judgments.Load(); n != 1 || slices.Contains(errs, nil) {
		t.Errorf("%d judgments of one connection's certificate", n)
	}
}
