package ws

// base64Decoder decodes the payload of one message, in pieces that may be split anywhere. The
// encoding is the standard alphabet with padding (RFC 4648, section 4): a group of four characters
// stands for three bytes. Like encoding/base64, which wsstream (the API server's WebSocket package)
// uses, the decoder ignores CR, LF and the excess bits of the last character. The zero value is
// ready for a message.
type base64Decoder struct {
	// bits holds the bits of the characters read of an incomplete group. The lowest 6, 4 or 2 bits
	// (after 1, 2 or 3 characters) are not written yet.
	bits   uint32
	have   int  // characters read of an incomplete group, 0 to 3
	padded bool // padding was read: no other group may follow
}

// decode decodes the next characters b of the message in place: it writes to b[:n] the bytes that
// the characters complete. A character completes at most one byte, so the bytes fit.
func (d *base64Decoder) decode(b []byte) (n int, err error) {
	for i := 0; i < len(b); i++ {
		if d.have == 0 && !d.padded {
			quanta := decodeQuanta(b[n:], b[i:])
			n += 3 * quanta
			if i += 4 * quanta; i == len(b) {
				break
			}
		}
		switch c := b[i]; {
		case c == '\r', c == '\n':
		case c == '=' && d.have >= 2:
			d.padded = true
			d.have = (d.have + 1) % 4
		case base64Values[c] == notBase64, d.padded:
			return n, errBase64
		default:
			d.bits = d.bits<<6 | uint32(base64Values[c])
			d.have = (d.have + 1) % 4
			if d.have != 1 {
				b[n] = byte(d.bits >> [4]int{0: 0, 2: 4, 3: 2}[d.have])
				n++
			}
		}
	}
	return n, nil
}

// end returns an error if the message must not end here, because a group of four characters is not
// complete.
func (d *base64Decoder) end() error {
	if d.have != 0 {
		return errBase64
	}
	return nil
}

// decodeQuanta decodes groups of four characters (quanta) from the beginning of src, up to the
// first group that has a character outside the alphabet or is not complete. It returns the number
// of decoded groups. dst may begin where src begins, or before it.
func decodeQuanta(dst, src []byte) int {
	n := 0
	for len(src) >= 4 {
		v0, v1, v2, v3 := base64Values[src[0]], base64Values[src[1]], base64Values[src[2]], base64Values[src[3]]
		if v0|v1|v2|v3 >= notBase64 {
			break
		}
		v := uint32(v0)<<18 | uint32(v1)<<12 | uint32(v2)<<6 | uint32(v3)
		dst[0], dst[1], dst[2] = byte(v>>16), byte(v>>8), byte(v)
		dst, src = dst[3:], src[4:]
		n++
	}
	return n
}

const notBase64 = 0x80 // larger than every value in the alphabet

// base64Values maps each base64 character to its value; notBase64: not in the alphabet.
var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = notBase64
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i, c := range []byte(alphabet) {
		values[c] = byte(i)
	}
	return values
}()
