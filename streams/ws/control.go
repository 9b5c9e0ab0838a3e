package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"edge/streams"
)

// AppendPing appends a ping of a server to dst. It cuts a payload after 125 bytes.
func AppendPing(dst, payload []byte) []byte { return server.appendControl(dst, opPing, payload) }

// AppendPong appends a pong of a server to dst. It cuts a payload after 125 bytes.
func AppendPong(dst, payload []byte) []byte { return server.appendControl(dst, opPong, payload) }

// AppendClose appends a Close of a server to dst. If the code is 0 or must not be sent (RFC 6455,
// section 7.4), the Close has neither code nor reason. A reason that is too long is cut between two
// characters. A reason that is not UTF-8 is omitted.
func AppendClose(dst []byte, code int, reason string) []byte {
	return server.appendClose(dst, code, reason)
}

// AppendClientPing appends a ping of a client, with a masked payload, to dst. See AppendPing.
func AppendClientPing(dst, payload []byte) []byte { return client.appendControl(dst, opPing, payload) }

// AppendClientPong appends a pong of a client, with a masked payload, to dst. See AppendPong.
func AppendClientPong(dst, payload []byte) []byte { return client.appendControl(dst, opPong, payload) }

// AppendClientClose appends a Close of a client, with a masked payload, to dst. See AppendClose.
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

// controlRoom is the size in bytes of the longest header of a control frame. Other frames with at
// most 125 bytes of payload have headers of the same size.
const controlRoom = prefixSize + keySize

const codeSize = 2 // size in bytes of the code at the beginning of a Close's payload

// validCode reports whether a Close may carry the code, according to RFC 6455 section 7.4 and the
// IANA registry.
func validCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}

// answer handles a control frame from the peer. b[off:] is its unmasked payload, with controlRoom
// bytes before it. answer sends the pong for a ping, and reports a pong to rep. For a Close it
// returns closed and the code (0: the Close has none).
func (in *frameParser) answer(rep streams.Replier, b []byte, off int) (closed bool, code int, err error) {
	switch in.op {
	case opPing:
		rep.Pong(b[in.side.seal(opPong, b, off):])
	case opPong:
		if r, ok := rep.(streams.PongReceiver); ok {
			r.Ponged(b[off:])
		}
	case opClose:
		code, err = closeCode(b[off:])
		return err == nil, code, err
	}
	return false, 0, nil
}

// closeCode returns the code in the payload of a Close (RFC 6455, section 5.5.1).
func closeCode(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(b) < codeSize {
		return 0, violation("Close frame with a payload of one byte")
	}
	code := int(binary.BigEndian.Uint16(b))
	if !validCode(code) {
		return 0, violation("Close frame with a reserved code")
	}
	if !utf8.Valid(b[codeSize:]) {
		return 0, streams.Violation(streams.CloseInvalid, "Close frame with a reason that is not UTF-8")
	}
	return code, nil
}
