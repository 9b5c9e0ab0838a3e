package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// Authority issues certificates.
type Authority struct {
	Cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	chain [][]byte // from its own certificate up to, and without, the root's
}

// NewAuthority makes a root, good for an hour, with changes.
func NewAuthority(t testing.TB, name string, changes ...func(*x509.Certificate)) *Authority {
	t.Helper()
	key, der := certify(t, authorityOf(name, changes), nil)
	return &Authority{Cert: Parse(t, der), key: key}
}

// Under issues another authority's certificate, good for an hour, with changes.
func (a *Authority) Under(t testing.TB, name string, changes ...func(*x509.Certificate)) *Authority {
	t.Helper()
	key, der := certify(t, authorityOf(name, changes), a)
	return &Authority{Parse(t, der), key, append([][]byte{der}, a.chain...)}
}

func authorityOf(name string, changes []func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}
	for _, change := range changes {
		change(template)
	}
	return template
}

// Client issues a client's certificate, good for an hour, with changes.
func (a *Authority) Client(t testing.TB, subject pkix.Name, changes ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, change := range changes {
		change(template)
	}
	key, der := certify(t, template, a)
	return &tls.Certificate{Certificate: append([][]byte{der}, a.chain...), PrivateKey: key}
}

// certify signs a certificate, by itself without an issuer.
func certify(t testing.TB, template *x509.Certificate, issuer *Authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func Parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// PEM is a bundle of certificates.
func PEM(certificates ...*x509.Certificate) []byte {
	var bundle []byte
	for _, c := range certificates {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return bundle
}
