package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"edge/streams"
)

// AppendPing appends a server's ping to dst. A payload beyond 125 bytes is cut.
func AppendPing(dst, payload []byte) []byte { return server.appendControl(dst, opPing, payload) }

// AppendPong appends a server's pong to dst. A payload beyond 125 bytes is cut.
func AppendPong(dst, payload []byte) []byte { return server.appendControl(dst, opPong, payload) }

// AppendClose appends a server's Close to dst. Code 0, and a code that must not
// be sent (RFC 6455 section 7.4), means a Close without code or reason. A reason
// that is too long is cut between two characters; one that is not UTF-8 is
// left out.
func AppendClose(dst []byte, code int, reason string) []byte {
	return server.appendClose(dst, code, reason)
}

// AppendClientPing is AppendPing for a client.
func AppendClientPing(dst, payload []byte) []byte { return client.appendControl(dst, opPing, payload) }

// AppendClientPong is AppendPong for a client.
func AppendClientPong(dst, payload []byte) []byte { return client.appendControl(dst, opPong, payload) }

// AppendClientClose is AppendClose for a client.
func AppendClientClose(dst []byte, code int, reason string) []byte {
	return client.appendClose(dst, code, reason)
}

func (s side) appendClose(dst []byte, code int, reason string) []byte {
	if !validCode(code) {
		return s.appendControl(dst, opClose, nil)
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
	payload := make([]byte, codeSize, maxControl)
	binary.BigEndian.PutUint16(payload, uint16(code))
	return s.appendControl(dst, opClose, append(payload, reason...))
}

func (s side) appendControl(dst []byte, op byte, payload []byte) []byte {
	payload = payload[:min(len(payload), maxControl)]
	var room [controlRoom]byte
	dst = append(dst, room[:s.headerSize(len(payload))]...)
	off := len(dst)
	dst = append(dst, payload...)
	s.seal(op, dst, off)
	return dst
}

// controlRoom is how long the header of a control frame, or of a message as
// short, may be.
const controlRoom = prefixSize + keySize

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

// answer handles the peer's control frame, b[off:] unmasked, with controlRoom
// before it. A Close is told by closed, with its code (0: none).
func (in *frameParser) answer(rep streams.Replier, b []byte, off int) (closed bool, code int, err error) {
	switch in.op {
	case opPing:
		rep.Pong(b[in.side.seal(opPong, b, off):])
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
