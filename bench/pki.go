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
	"os"
	"path/filepath"
	"time"
)

// pkiLifetime is the lifetime of certificates. It is longer than any measurement takes.
const pkiLifetime = 24 * time.Hour

// certificateName is the DNS name in the certificate of bench's servers. nginx verifies this name,
// because it cannot verify an IP address.
const certificateName = "localhost"

// pki is a certificate authority and one certificate for 127.0.0.1, which all servers of a
// measurement use.
type pki struct {
	caFile, certFile, keyFile string
	bundleFile                string // path of the file that contains certificate and key, for HAProxy
	pool                      *x509.CertPool
	certificate               tls.Certificate
}

// newPKI creates the certificate authority and the certificate and writes them as PEM files into
// dir.
func newPKI(dir string) (*pki, error) {
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(pkiLifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{certificateName},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("bench: generate a key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("bench: generate a key: %w", err)
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("bench: create the CA certificate: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("bench: create the server certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("bench: encode a key: %w", err)
	}
	p := &pki{
		caFile: filepath.Join(dir, "ca.pem"), certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem"),
		bundleFile:  filepath.Join(dir, "bundle.pem"),
		pool:        x509.NewCertPool(),
		certificate: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key},
	}
	var bundle []byte
	for _, file := range []struct {
		name, kind string
		der        []byte
	}{{p.caFile, "CERTIFICATE", caDER}, {p.certFile, "CERTIFICATE", leafDER}, {p.keyFile, "PRIVATE KEY", keyDER}} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der})
		if err := os.WriteFile(file.name, text, 0o600); err != nil {
			return nil, fmt.Errorf("bench: write a certificate: %w", err)
		}
		if file.name != p.caFile {
			bundle = append(bundle, text...)
		}
	}
	if err := os.WriteFile(p.bundleFile, bundle, 0o600); err != nil {
		return nil, fmt.Errorf("bench: write a certificate: %w", err)
	}
	authority, err := x509.ParseCertificate(caDER)
	if err != nil {
		return nil, fmt.Errorf("bench: parse the CA certificate: %w", err)
	}
	p.pool.AddCert(authority)
	return p, nil
}
