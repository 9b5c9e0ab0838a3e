package ws

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// newKey is a masking key that nobody who chose the payload can foresee, as RFC
// 6455 section 5.3 wants it: the generator is ChaCha8, which the system seeds.
// It is one per thread, so that it costs no lock, and nothing is allocated.
func newKey() uint32 { return rand.Uint32() }

// maskBlock is how much of a large payload is masked at a time. Its last bytes
// are not worth a block.
const maskBlock = 512

// mask applies key to b (RFC 6455 section 5.3; to mask is to unmask) and
// returns the key for the byte after b. The key's lowest byte is for b[0].
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

// keyAfter is key for the byte that is n bytes later.
func keyAfter(key uint32, n int) uint32 { return bits.RotateLeft32(key, -8*(n%4)) }

// maskBlocks masks whole blocks, by the processor's widest XOR, and returns the
// rest of b, for which the key is the same. A function of its own, so that small
// payloads do not need its stack.
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
