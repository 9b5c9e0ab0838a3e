package ws

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// Every length, alignment, key position and cut gives what RFC 6455 section
// 5.3 says: byte i is for key byte i modulo 4.
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
