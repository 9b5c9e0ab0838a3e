package pki

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

// Authority is a certificate authority (CA) that lives as long as one run of the testbed.
type Authority struct {
	PEM []byte // the CA's own certificate
	// Names are addresses and DNS names of servers for which each certificate is valid, in addition
	// to 127.0.0.1 and localhost.
	Names []string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// KeyPair is a certificate with its private key, both in PEM.
type KeyPair struct {
	Cert, Key []byte
}

func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(7 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{PEM: EncodePEM("CERTIFICATE", der), cert: cert, key: key}, nil
}

// Issue signs a new certificate. It is valid for a server at 127.0.0.1, localhost and a.Names, and
// for a client that Kubernetes identifies as this user with these groups.
func (a *Authority) Issue(user string, groups ...string) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return KeyPair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: user, Organization: groups},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(7 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
	}
	for _, name := range a.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return KeyPair{}, err
	}
	keyPEM, err := encodeKey(key)
	return KeyPair{Cert: EncodePEM("CERTIFICATE", der), Key: keyPEM}, err
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	return EncodePEM("PRIVATE KEY", pkcs8), err
}

// WriteKey writes the CA's own key to <dir>/<name>.key, for a program that signs certificates, and
// returns the path.
func (a *Authority) WriteKey(dir, name string) (string, error) {
	key, err := encodeKey(a.key)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".key")
	return path, os.WriteFile(path, key, 0o600)
}

// Pool returns a certificate pool that contains the CA's certificate, for tls.Config.RootCAs.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// IssueFiles signs a new certificate, as Issue does. It writes the certificate to <dir>/<name>.crt
// and the key to <dir>/<name>.key, and returns both paths.
func (a *Authority) IssueFiles(dir, name, user string, groups ...string) (cert, key string, err error) {
	pair, err := a.Issue(user, groups...)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if err := os.WriteFile(cert, pair.Cert, 0o644); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, pair.Key, 0o600)
}

// TLS returns the certificate and its key in the form that crypto/tls uses.
func (p KeyPair) TLS() (tls.Certificate, error) {
	c, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return c, fmt.Errorf("testbed: %w", err)
	}
	return c, nil
}

func EncodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
