package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// loopbackCertificate is a certificate for a loopback address, and the authority that signed it.
// Both private keys exist only in this process; the authority's key is not kept.
type loopbackCertificate struct {
	serving   tls.Certificate
	authority []byte // certificate of the authority, PEM
	pool      *x509.CertPool
}

const (
	certificateLife = 365 * 24 * time.Hour // longer than any edge connect runs
	clockSlack      = time.Hour
)

// newLoopbackCertificate creates an authority and a leaf certificate for the IP address. It does
// not use one certificate for both, because some clients do not accept an authority's certificate
// as a server's.
func newLoopbackCertificate(address net.IP) (*loopbackCertificate, error) {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge connect"},
		NotBefore: now.Add(-clockSlack), NotAfter: now.Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		// The leaf certificate refers to this id; without it Python 3.13 refuses the leaf (RFC 5280
		// section 4.2.1.1).
		SubjectKeyId: []byte("edge connect"),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "edge connect on the loopback"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{address}, DNSNames: []string{"localhost"},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("loopback certificate: %w", err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("loopback certificate: %w", err)
	}
	signedAuthority, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, fmt.Errorf("loopback certificate: %w", err)
	}
	signedLeaf, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	if err != nil {
		return nil, fmt.Errorf("loopback certificate: %w", err)
	}
	c := &loopbackCertificate{
		serving:   tls.Certificate{Certificate: [][]byte{signedLeaf}, PrivateKey: leafKey},
		authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signedAuthority}),
		pool:      x509.NewCertPool(),
	}
	c.pool.AppendCertsFromPEM(c.authority)
	return c, nil
}
