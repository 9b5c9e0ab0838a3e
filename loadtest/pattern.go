package main

import "encoding/binary"

// pattern is an endless sequence of bytes that its seed determines, and that can be had from any offset: word n is
// splitmix64's n-th, so that bytes which are lost, doubled or out of order differ from those expected.
type pattern uint64

const (
	wordSize = 8
	golden   = 0x9e3779b97f4a7c15
)

func (p pattern) word(n uint64) uint64 {
	z := uint64(p) + (n+1)*golden
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill writes the bytes from offset on.
func (p pattern) fill(b []byte, offset uint64) {
	for len(b) > 0 {
		var word [wordSize]byte
		binary.LittleEndian.PutUint64(word[:], p.word(offset/wordSize))
		n := copy(b, word[offset%wordSize:])
		b, offset = b[n:], offset+uint64(n)
	}
}

// differs is the index of the first byte that is not the sequence's from offset on, or -1.
func (p pattern) differs(b []byte, offset uint64) int {
	for at := 0; at < len(b); {
		var word [wordSize]byte
		binary.LittleEndian.PutUint64(word[:], p.word((offset+uint64(at))/wordSize))
		for _, want := range word[(offset+uint64(at))%wordSize:] {
			if at == len(b) {
				break
			}
			if b[at] != want {
				return at
			}
			at++
		}
	}
	return -1
}
