package run

import (
	"crypto/rand"
	"encoding/hex"
)

// RandomHex returns n random bytes as 2n hexadecimal digits, for names and secrets.
func RandomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
