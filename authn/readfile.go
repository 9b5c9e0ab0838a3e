package authn

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

// maxCAFileBytes bounds the CA file, in bytes. The whole CA bundle of a Linux distribution has
// about 250 KiB.
const maxCAFileBytes = 4 << 20

// readCAFile returns the content of a PEM file with at least one certificate.
func readCAFile(name string) ([]byte, error) {
	pem, err := readBounded(name, maxCAFileBytes)
	if err != nil {
		return nil, fmt.Errorf("--oidc-ca-file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--oidc-ca-file: no PEM certificate in %s", name)
	}
	return pem, nil
}

// readBounded reads a regular file. It returns an error if the file has more bytes than the
// parameter most.
func readBounded(name string, most int64) ([]byte, error) {
	info, err := os.Stat(name) // Stat before Open: opening a named pipe would wait for a process that writes to it
	if err != nil {
		return nil, err
	}
	tooLarge := fmt.Errorf("%s is not a regular file of at most %d bytes", name, most)
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, tooLarge
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(content)) > most {
		err = tooLarge
	}
	return content, err
}
