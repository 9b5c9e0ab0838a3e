package spdy

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"slices"
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
	ports bool // the headers of a port-forward are wanted too

	src   bytes.Reader
	zlib  io.Reader
	carry []byte // of the last block, not inflated yet
	left  uint32 // how many bytes the block may still inflate to
	some  [256]byte
}

// A header block's values: empty where there is none, or one too long to mean
// anything. Only a reader of ports has port and request.
type headers struct{ kind, port, request string }

// value is where the value of a header goes that is wanted, or nil.
func (r *blockReader) value(of *headers, name []byte) *string {
	switch {
	case string(name) == "streamtype":
		return &of.kind
	case r.ports && string(name) == "port":
		return &of.port
	case r.ports && string(name) == "requestid":
		return &of.request
	}
	return nil
}

// read inflates a block and checks it against the bounds.
func (r *blockReader) read(block []byte) (h headers, err error) {
	if len(r.carry) > 0 {
		block = append(r.carry, block...)
	}
	r.src.Reset(block)
	defer r.src.Reset(nil) // the block is not ours to keep
	if r.zlib == nil {
		if r.zlib, err = zlib.NewReaderDict(&r.src, dictionary); err != nil {
			return h, violation("a header block that does not inflate")
		}
	}
	if h, err = r.headers(); err != nil {
		return headers{}, err
	}
	rest := r.src.Len()
	if rest > maxCarry {
		return h, violation("a header block with %d bytes too many", rest)
	}
	r.carry = append(r.carry[:0], block[len(block)-rest:]...)
	return h, nil
}

func (r *blockReader) headers() (h headers, err error) {
	r.left = maxHeaderBytes
	count, err := r.number()
	if err != nil {
		return h, err
	}
	if count > maxHeaders {
		return h, tooBig("%d headers", count)
	}
	var seen [3]*string
	known := 0
	for range count {
		name, err := r.field()
		if err != nil {
			return h, err
		}
		wanted := r.value(&h, name)
		if wanted != nil {
			if slices.Contains(seen[:known], wanted) {
				return h, violation("a header that comes twice")
			}
			seen[known] = wanted
			known++
		}
		value, err := r.field()
		if err != nil {
			return h, err
		}
		if wanted != nil {
			*wanted = string(value)
		}
	}
	return h, nil
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
