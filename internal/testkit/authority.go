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

// Authority is a certificate authority that issues certificates.
type Authority struct {
	Cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	chain [][]byte // certificate of this authority, then of its issuers, without the root
}

// NewAuthority creates a self-signed root certificate. It is valid for one hour; the functions in
// changes may set other fields of the certificate.
func NewAuthority(t testing.TB, name string, changes ...func(*x509.Certificate)) *Authority {
	t.Helper()
	key, der := certify(t, authorityOf(name, changes), nil)
	return &Authority{Cert: Parse(t, der), key: key}
}

// Under issues the certificate of an intermediate authority below the authority a. It is valid for
// one hour; the functions in changes may set other fields of the certificate.
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

// Client issues a client certificate together with its chain. It is valid for one hour; the
// functions in changes may set other fields of the certificate.
func (a *Authority) Client(t testing.TB, subject pkix.Name, changes ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, change := range changes {
		change(template)
	}
	key, der := certify(t, template, a)
	return &tls.Certificate{Certificate: append([][]byte{der}, a.chain...), PrivateKey: key}
}

// certify creates a key and signs template with the issuer's key. If issuer is nil, the certificate
// is self-signed.
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

// Parse parses a certificate in DER, and fails the test if it cannot.
func Parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// PEM returns the certificates as one PEM bundle.
func PEM(certificates ...*x509.Certificate) []byte {
	var bundle []byte
	for _, c := range certificates {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return bundle
}
