package bridge_test

import (
	"encoding/binary"
	"io"
	"slices"
)

// Opcodes of WebSocket frames (RFC 6455 section 5.2).
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// masked returns a WebSocket frame as a client sends it. fin marks the last frame of a message.
func masked(fin bool, op byte, payload string) string {
	b := []byte{op, 0x80}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	key := []byte{0xde, 0xad, 0xbe, 0xef}
	b = append(b, key...)
	at := len(b)
	b = append(b, payload...)
	for i := range b[at:] {
		b[at+i] ^= key[i%4]
	}
	return string(b)
}

// message returns a complete binary WebSocket message in one frame, as a client sends it.
func message(payload string) string { return masked(true, opBinary, payload) }

// wsFrame is a WebSocket frame that a server sends.
type wsFrame struct {
	fin, masked bool
	op          byte
	payload     string
}

// readFrame reads one WebSocket frame that a server has sent.
func readFrame(r io.Reader) (wsFrame, error) {
	if c, ok := r.(interface{ begin() error }); ok {
		if err := c.begin(); err != nil {
			return wsFrame{}, err
		}
	}
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return wsFrame{}, err
	}
	f := wsFrame{fin: head[0]&0x80 != 0, op: head[0] & 0x7f, masked: head[1]&0x80 != 0}
	n := uint64(head[1] & 0x7f)
	more := map[uint64]int{126: 2, 127: 8}[n]
	length := make([]byte, 8)
	if _, err := io.ReadFull(r, length[8-more:]); err != nil {
		return f, err
	}
	if more > 0 {
		n = binary.BigEndian.Uint64(length)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	f.payload = string(b)
	return f, err
}

// readFrames reads the WebSocket frames that a server sends, to the end. It leaves out pings and
// pongs unless controls is true.
func readFrames(r io.Reader, controls bool) (all []wsFrame, err error) {
	for {
		f, err := readFrame(r)
		if err != nil {
			return all, err
		}
		if controls || !slices.Contains([]byte{opPing, opPong}, f.op) {
			all = append(all, f)
		}
	}
}
