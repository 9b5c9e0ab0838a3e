package ws

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// newKey is a masking key that nobody who chose the payload can foresee, as RFC
// 6455 section 5.3 wants it: the generator is ChaCha8, which the system seeds.
// It is one per thread, so that it costs no lock, and nothing is allocated.
func newKey() uint32 { return rand.Uint32() }

// mask applies key to b (RFC 6455 section 5.3; to mask is to unmask) and
// returns the key for the byte after b. The key's lowest byte is for b[0].
func mask(b []byte, key uint32) uint32 {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 32 {
		p := b[:32]
		binary.LittleEndian.PutUint64(p[0:], binary.LittleEndian.Uint64(p[0:])^wide)
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^wide)
		binary.LittleEndian.PutUint64(p[16:], binary.LittleEndian.Uint64(p[16:])^wide)
		binary.LittleEndian.PutUint64(p[24:], binary.LittleEndian.Uint64(p[24:])^wide)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}
