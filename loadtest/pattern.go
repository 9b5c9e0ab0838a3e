package main

import "encoding/binary"

// pattern is the seed of an endless sequence of bytes that a session sends. loadtest can compute
// each part of the sequence from its offset. The sequence consists of 8-byte words; word n is the
// n-th output of splitmix64. So bytes that are lost, duplicated or out of order differ from the
// expected bytes.
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

// fill writes a part of the session's byte sequence into b. The part begins at offset.
func (p pattern) fill(b []byte, offset uint64) {
	for len(b) > 0 {
		var word [wordSize]byte
		binary.LittleEndian.PutUint64(word[:], p.word(offset/wordSize))
		n := copy(b, word[offset%wordSize:])
		b, offset = b[n:], offset+uint64(n)
	}
}

// differs compares b with the part of the session's byte sequence that begins at offset. It returns
// the index of the first wrong byte in b, or -1.
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
