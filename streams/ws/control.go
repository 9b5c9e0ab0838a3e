package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"edge/streams"
)

// AppendPing appends a server's ping to dst. A payload beyond 125 bytes is cut.
func AppendPing(dst, payload []byte) []byte { return appendControl(dst, opPing, payload) }

// AppendPong appends a server's pong to dst. A payload beyond 125 bytes is cut.
func AppendPong(dst, payload []byte) []byte { return appendControl(dst, opPong, payload) }

// AppendClose appends a server's Close to dst. Code 0, and a code that must not
// be sent (RFC 6455 section 7.4), means a Close without code or reason. A reason
// that is too long is cut between two characters; one that is not UTF-8 is
// left out.
func AppendClose(dst []byte, code int, reason string) []byte {
	if !validCode(code) {
		return appendControl(dst, opClose, nil)
	}
	if !utf8.ValidString(reason) {
		reason = ""
	}
	if n := maxControl - codeSize; len(reason) > n {
		for !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = append(dst, finBit|opClose, byte(codeSize+len(reason)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

func appendControl(dst []byte, op byte, payload []byte) []byte {
	payload = payload[:min(len(payload), maxControl)]
	dst = append(dst, finBit|op, byte(len(payload)))
	return append(dst, payload...)
}

const codeSize = 2 // the code that a Close's payload begins with, in bytes

// validCode tells whether a Close may carry the code, RFC 6455 section 7.4 and
// the IANA registry.
func validCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}

// answer handles a client's control frame, b[off:] unmasked, with room for a
// short header before it. A Close is told by closed, with its code (0: none).
func answer(rep streams.Replier, op byte, b []byte, off int) (closed bool, code int, err error) {
	switch op {
	case opPing:
		b = b[off-prefixSize:]
		putHeader(b[:prefixSize], opPong, len(b)-prefixSize)
		rep.Pong(b)
	case opClose:
		code, err = closeCode(b[off:])
		return err == nil, code, err
	}
	return false, 0, nil
}

// closeCode reads the payload of a Close, RFC 6455 section 5.5.1.
func closeCode(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(b) < codeSize {
		return 0, violation("Close of one byte")
	}
	code := int(binary.BigEndian.Uint16(b))
	if !validCode(code) {
		return 0, violation("Close with a code that must not be sent")
	}
	if !utf8.Valid(b[codeSize:]) {
		return 0, streams.Violation(streams.CloseInvalid, "Close with a reason that is not UTF-8")
	}
	return code, nil
}
