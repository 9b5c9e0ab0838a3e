//go:build unix

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// connection returns a new HTTP/1.1 connection to edge on which nothing was sent.
func (e *instance) connection() *tls.Conn {
	e.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { conn.Close() })
	return conn
}

// askOn sends a request on the connection and expects 200.
func (e *instance) askOn(conn *tls.Conn, token string) {
	e.Helper()
	io.WriteString(conn, "GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		e.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		e.Fatal(resp.Status, string(body), err)
	}
}

// withFiles returns a function for bed.change that starts edge with a limit of n open files.
func withFiles(n int) func(*instance) {
	return func(e *instance) {
		e.cmd.Path = "/bin/sh"
		e.cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, n), os.Args[0]}, e.cmd.Args[1:]...)
	}
}

// TestSlowloris opens as many idle connections without a login as edge may open files; half of them
// have sent a part of a header. It checks that new and existing users can still use edge, and that
// the probe port still answers under the same load.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	const files = 512
	b := newBed(t)
	b.change = withFiles(files)
	e := b.serve()
	token := b.token(nil)
	user := e.connection()
	e.askOn(user, token)
	var attackers sync.WaitGroup
	for worker := range 8 {
		attackers.Go(func() {
			for i := range files / 8 {
				conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if (worker+i)%2 == 0 {
					io.WriteString(conn, "GET /api HTTP/1.1\r\nHost: x\r\n")
				}
			}
			e.askOn(e.connection(), token) // a user gets an answer while all connections of this attacker are open
		})
	}
	attackers.Wait()
	e.askOn(user, token)
	for range files {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.probe, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if resp, err := http.Get(e.probe + "/live"); err != nil || resp.StatusCode != http.StatusOK {
		t.Error(resp, err)
	} else {
		resp.Body.Close()
	}
}

// TestLimits checks how many sessions and connections edge allows for a limit of open files and of
// memory.
func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		descriptors           int
		memory                int64
		sessions, connections int
	}{
		{256, math.MaxInt64, 64, 1},
		{1024, math.MaxInt64, 256, 384},
		{20_000, math.MaxInt64, 8192, 3488},
		{1 << 20, math.MaxInt64, 8192, 1<<20 - 16384 - 128},
		{1 << 20, 900 << 20, 8192, 7200},
		{math.MaxInt32, math.MaxInt64, 8192, manyConnections},
	} {
		if got := sessionsOf(c.descriptors); got != c.sessions {
			t.Errorf("%d descriptors: %d sessions, want %d", c.descriptors, got, c.sessions)
		}
		if got := connectionsOf(c.descriptors, c.memory); got != c.connections {
			t.Errorf("%d descriptors, %d bytes: %d connections, want %d", c.descriptors, c.memory, got, c.connections)
		}
	}
}

// TestManyCertificates checks that edge ends the handshake with a client that sends too many
// certificates, be it 9 or 400.
func TestManyCertificates(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ca, good := b.clientCertificate("anna")
	e := b.serve("--client-ca-file=" + ca)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bomb := tls.Certificate{PrivateKey: good.PrivateKey, Certificate: good.Certificate[:1:1]}
	for i := range 399 {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		bomb.Certificate = append(bomb.Certificate, der)
	}
	ask := func(pair tls.Certificate) (string, error) {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(e.url, "https://"),
			&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair}})
		if err != nil {
			return "", err
		}
		defer conn.Close()
		io.WriteString(conn, "GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(conn)
		return string(got), err
	}
	if got, err := ask(good); err != nil || !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("%.80q, %v", got, err)
	}
	for _, n := range []int{9, 400} {
		few := bomb
		few.Certificate = bomb.Certificate[:n]
		if got, err := ask(few); got != "" {
			t.Errorf("%d certificates: %.80q, %v", n, got, err)
		}
	}
}
