package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// BenchmarkHandshake measures a TLS handshake, client and server together, with 0, 8 and 400
// certificates from the client.
func BenchmarkHandshake(b *testing.B) {
	for name, n := range map[string]int{"none": 0, "8": 8, "400": 400} {
		chain := make([][]byte, n)
		for i := range chain {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			template := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
			if chain[i], err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
				b.Fatal(err)
			}
		}
		if n > 0 {
			chain[0] = pair().Certificate[0]
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				client, server := net.Pipe()
				done := make(chan error, 1)
				go func() {
					conn := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{pair()}, ClientAuth: tls.RequestClientCert, VerifyPeerCertificate: VerifyPeer})
					done <- conn.Handshake()
					server.Close()
				}()
				cfg := &tls.Config{InsecureSkipVerify: true}
				if n > 0 {
					cfg.Certificates = []tls.Certificate{{Certificate: chain, PrivateKey: pair().PrivateKey}}
				}
				conn := tls.Client(client, cfg)
				conn.Handshake()
				go io.Copy(io.Discard, conn)
				if err := <-done; (err != nil) != (n > maxPeerCertificates) {
					b.Fatal(err)
				}
				client.Close()
			}
		})
	}
}
