package ws

import (
	"encoding/binary"

	"edge/streams"
)

// Bits and sizes of a WebSocket frame's header, RFC 6455 section 5.2.
const (
	finBit  = 0x80 // in the header's first byte
	rsvBits = 0x70
	opBits  = 0x0f

	maskBit    = 0x80 // in the header's second byte
	lengthBits = 0x7f
	length16   = 126 // value that announces a length in the next 2 bytes
	length64   = 127 // value that announces a length in the next 8 bytes

	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
	controlBit     = 0x8 // set in the opcode of every control frame

	prefixSize = 2   // size of the first two bytes, which determine the size of the header
	keySize    = 4   // size of the masking key at the end of a client's header
	maxHeader  = 14  // size of the longest header, a client's
	maxControl = 125 // maximum payload of a control frame, in bytes
)

// side is the end of a connection on which edge is: client or server. A client masks every frame,
// and a server masks none (RFC 6455, section 5.1).
type side uint8

const (
	server side = iota
	client
)

// write writes b[off:] to w as one complete frame, with the header in the bytes before b[off:].
func (s side) write(w streams.Writer, op byte, b []byte, off int) error {
	b, off = s.room(b, off)
	return w.WriteRoom(b, s.seal(op, b, off))
}

// room returns b and off such that the free bytes before the payload b[off:] are enough for a frame
// header. If they are not, it copies the payload.
func (s side) room(b []byte, off int) ([]byte, int) {
	if n := len(b) - off; off < s.headerSize(n) {
		return append(make([]byte, maxHeader, maxHeader+n), b[off:]...), maxHeader
	}
	return b, off
}

// seal writes the header of a complete frame right before its payload b[off:]. On the client side
// seal also masks the payload. It returns the offset at which the frame begins.
func (s side) seal(op byte, b []byte, off int) int {
	begin, key := s.head(op, b, off)
	if s == client {
		mask(b[off:], key)
	}
	return begin
}

// head does the same as the method seal, without masking the payload. On the client side it returns
// the key that it put into the header.
func (s side) head(op byte, b []byte, off int) (begin int, key uint32) {
	n := len(b) - off
	off -= s.headerSize(n)
	putHeader(b[off:off+headerSize(n)], op, n)
	if s == client {
		key = newKey()
		b[off+1] |= maskBit
		binary.LittleEndian.PutUint32(b[off+headerSize(n):], key)
	}
	return off, key
}

// headerSize returns the size of a header that this side writes before n bytes of payload.
func (s side) headerSize(n int) int {
	if s == client {
		return headerSize(n) + keySize
	}
	return headerSize(n)
}

// headerSize returns the size of a frame header, without a masking key, before n bytes of payload.
func headerSize(n int) int {
	switch {
	case n < length16:
		return prefixSize
	case n>>16 == 0:
		return prefixSize + 2
	}
	return prefixSize + 8
}

// putHeader writes a frame header without a masking key to b, which has headerSize(n) bytes.
func putHeader(b []byte, op byte, n int) {
	b[0] = finBit | op
	switch len(b) {
	case prefixSize:
		b[1] = byte(n)
	case prefixSize + 2:
		b[1] = length16
		binary.BigEndian.PutUint16(b[prefixSize:], uint16(n))
	default:
		b[1] = length64
		binary.BigEndian.PutUint64(b[prefixSize:], uint64(n))
	}
}
