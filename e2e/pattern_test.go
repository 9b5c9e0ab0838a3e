package e2e

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"sync"
)

// patternChunk is the number of bytes in one write of copyPattern. The writes of client-go have the
// same size.
const patternChunk = 32 << 10

// noise returns the random bytes of which the test pattern consists. In each repetition of noise,
// the number of the repetition replaces the first 8 bytes.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, patternChunk)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// copyPattern writes n bytes of a test pattern that never repeats, so that lost or exchanged parts
// change its hash.
func copyPattern(w io.Writer, n int) error {
	chunk := append([]byte(nil), noise()...)
	for i := uint64(0); n > 0; i++ {
		binary.LittleEndian.PutUint64(chunk, i)
		part := chunk[:min(n, len(chunk))]
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= len(part)
	}
	return nil
}

var patternHashes sync.Map // maps a number of bytes to the SHA-256 of a pattern of that length

func patternHash(n int) string {
	if sum, ok := patternHashes.Load(n); ok {
		return sum.(string)
	}
	h := sha256.New()
	copyPattern(h, n)
	sum := hex.EncodeToString(h.Sum(nil))
	patternHashes.Store(n, sum)
	return sum
}
