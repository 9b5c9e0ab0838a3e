package spdy

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"

	"edge/streams"
)

// Bounds of one header block after it is inflated. Kubernetes' have at most
// three headers and 100 bytes. They bound the ratio too: what a block inflates
// to beyond them is never asked for.
const (
	maxHeaders     = 32       // headers
	maxHeaderBytes = 16 << 10 // bytes: names, values and their lengths
	// maxCarry is how much of a block, in bytes, may be needed no sooner than
	// for the next one: what a compressor writes to flush, and no more.
	maxCarry = 64
)

// A blockReader inflates the header blocks of one direction, which are one zlib
// stream. It holds a window of 32 KiB from the first block on.
type blockReader struct {
	src   bytes.Reader
	zlib  io.Reader
	carry []byte // of the last block, not inflated yet
	left  uint32 // how many bytes the block may still inflate to
	some  [256]byte
}

// read inflates a block and checks it against the bounds. It returns the value
// of "streamtype": empty without one, or with one too long to mean anything.
func (r *blockReader) read(block []byte) (kind string, err error) {
	if len(r.carry) > 0 {
		block = append(r.carry, block...)
	}
	r.src.Reset(block)
	defer r.src.Reset(nil) // the block is not ours to keep
	if r.zlib == nil {
		if r.zlib, err = zlib.NewReaderDict(&r.src, dictionary); err != nil {
			return "", violation("a header block that does not inflate")
		}
	}
	if kind, err = r.headers(); err != nil {
		return "", err
	}
	rest := r.src.Len()
	if rest > maxCarry {
		return "", violation("a header block with %d bytes too many", rest)
	}
	r.carry = append(r.carry[:0], block[len(block)-rest:]...)
	return kind, nil
}

func (r *blockReader) headers() (kind string, err error) {
	r.left = maxHeaderBytes
	count, err := r.number()
	if err != nil {
		return "", err
	}
	if count > maxHeaders {
		return "", tooBig("%d headers", count)
	}
	var seen bool
	for range count {
		name, err := r.field()
		if err != nil {
			return "", err
		}
		wanted := string(name) == "streamtype"
		if wanted && seen {
			return "", violation("a header that comes twice")
		}
		value, err := r.field()
		if err != nil {
			return "", err
		}
		if wanted {
			kind, seen = string(value), true
		}
	}
	return kind, nil
}

// number inflates a count or a length.
func (r *blockReader) number() (uint32, error) {
	b, err := r.inflate(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// field inflates a name or a value. A long one is checked, but not returned.
func (r *blockReader) field() ([]byte, error) {
	n, err := r.number()
	if err != nil {
		return nil, err
	}
	if n <= uint32(len(r.some)) {
		return r.inflate(n)
	}
	if n > r.left {
		return nil, errHeaderBytes()
	}
	for n > 0 {
		piece := min(n, uint32(len(r.some)))
		if _, err := r.inflate(piece); err != nil {
			return nil, err
		}
		n -= piece
	}
	return nil, nil
}

// inflate returns the next n bytes, at most len(r.some).
func (r *blockReader) inflate(n uint32) ([]byte, error) {
	if n > r.left {
		return nil, errHeaderBytes()
	}
	r.left -= n
	if _, err := io.ReadFull(r.zlib, r.some[:n]); err != nil {
		return nil, violation("a header block that does not inflate")
	}
	return r.some[:n], nil
}

func errHeaderBytes() error {
	return tooBig("a header block of more than %d bytes", maxHeaderBytes)
}

func tooBig(format string, args ...any) error {
	return streams.Violation(streams.CloseTooBig, "SPDY: "+format, args...)
}
