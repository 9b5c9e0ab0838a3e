package serving

import (
	"crypto/x509"
)

// maxPeerCertificates is how many certificates a client may send: a leaf, and more intermediates
// than any PKI has.
const maxPeerCertificates = 8

// VerifyPeer is a tls.Config.VerifyPeerCertificate that refuses long chains, which take more time
// to verify than any legitimate one.
func VerifyPeer(certificates [][]byte, _ [][]*x509.Certificate) error {
	if len(certificates) > maxPeerCertificates {
		return errManyCertificates
	}
	return nil
}
