package run

import (
	"crypto/rand"
	"encoding/hex"
)

// RandomHex is n random bytes in hexadecimal digits, for names and secrets.
func RandomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
