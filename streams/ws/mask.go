package ws

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// newKey returns a masking key that the author of the payload cannot predict, as RFC 6455 section
// 5.3 requires. Go's generator is ChaCha8, seeded by the operating system. Each thread has its own
// generator, so newKey takes no lock; it allocates nothing.
func newKey() uint32 { return rand.Uint32() }

// maskBlock is how many bytes of a large payload maskBlocks masks at a time. The bytes after the
// last complete block are masked in smaller steps.
const maskBlock = 512

// mask masks or unmasks b with key (RFC 6455, section 5.3), in place. The lowest byte of key
// belongs to b[0]. mask returns the key for the byte after b.
func mask(b []byte, key uint32) uint32 {
	if len(b) >= 2*maskBlock {
		b = maskBlocks(b, key)
	}
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

// keyAfter rotates the masking key: the result is the key for the payload from n bytes later on.
func keyAfter(key uint32, n int) uint32 { return bits.RotateLeft32(key, -8*(n%4)) }

// maskBlocks masks the complete blocks at the beginning of b with the widest XOR of the processor.
// It returns the rest of b, for which the key is the same. It is a separate function so that small
// payloads do not need its stack space.
//
//go:noinline
func maskBlocks(b []byte, key uint32) []byte {
	var block [maskBlock]byte
	wide := uint64(key)<<32 | uint64(key)
	for i := 0; i < maskBlock; i += 8 {
		binary.LittleEndian.PutUint64(block[i:], wide)
	}
	for len(b) >= maskBlock {
		subtle.XORBytes(b[:maskBlock], b[:maskBlock], block[:])
		b = b[maskBlock:]
	}
	return b
}
