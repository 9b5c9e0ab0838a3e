package serving

import (
	"crypto/x509"
)

// maxPeerCertificates is how long a client's chain may be: a leaf, and more intermediates than any PKI has.
const maxPeerCertificates = 8

// VerifyPeer is for tls.Config.VerifyPeerCertificate: it refuses chains that cost more to verify than any good one.
func VerifyPeer(certificates [][]byte, _ [][]*x509.Certificate) error {
	if len(certificates) > maxPeerCertificates {
		return errManyCertificates
	}
	return nil
}
