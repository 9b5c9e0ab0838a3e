package ws

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"testing"
)

// TestMask checks the function mask with every length, alignment, key position and split against
// RFC 6455 section 5.3: byte i is masked with key byte i modulo 4.
func TestMask(t *testing.T) {
	key := [4]byte{0x01, 0x80, 0x3c, 0xff}
	plain := make([]byte, 120)
	for i := range plain {
		plain[i] = byte(i * 7)
	}
	for offset := range 9 {
		for n := range len(plain) - offset {
			for cut := range n + 1 {
				b := bytes.Clone(plain)[offset : offset+n]
				rest := mask(b[:cut], binary.LittleEndian.Uint32(key[:]))
				mask(b[cut:], rest)
				for i := range b {
					if b[i] != plain[offset+i]^key[i%4] {
						t.Fatalf("offset %d, length %d, cut at %d: byte %d", offset, n, cut, i)
					}
				}
			}
		}
	}
}

// TestMaskLarge checks large payloads, which mask handles in blocks.
func TestMaskLarge(t *testing.T) {
	key := [4]byte{0x01, 0x80, 0x3c, 0xff}
	for n := 2*maskBlock - 9; n < 4*maskBlock+9; n++ {
		b := make([]byte, n+1)[1:] // begins at an odd address
		rest := mask(b, binary.LittleEndian.Uint32(key[:]))
		for i := range b {
			if b[i] != key[i%4] {
				t.Fatalf("length %d: byte %d", n, i)
			}
		}
		if byte(rest) != key[n%4] {
			t.Fatalf("length %d: the key for the next byte begins with %#x", n, byte(rest))
		}
	}
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 4 << 10, 32 << 10} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			payload := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				mask(payload, 0xff3c8001)
			}
		})
	}
}
