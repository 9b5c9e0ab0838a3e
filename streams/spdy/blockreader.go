package spdy

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"slices"
)

// Limits of one header block after it is inflated (decompressed). The header blocks of Kubernetes
// have at most three headers and 100 bytes. The limits also bound the compression ratio: bytes
// beyond them are never inflated.
const (
	maxHeaders     = 32       // number of headers
	maxHeaderBytes = 16 << 10 // bytes: names, values and their lengths
	// maxCarry limits the compressed bytes at the end of a header block that are inflated only with
	// the next block. Usually these are the few bytes with which a compressor flushes a block
	// (see syncBlock).
	maxCarry = 64
)

// A blockReader inflates (decompresses) the header blocks of one direction, which form one zlib
// stream. It holds a window of 32 KiB from the first block on.
type blockReader struct {
	ports bool // true: the method read also returns the headers of a port-forward

	src   bytes.Reader
	zlib  io.Reader
	carry []byte // compressed bytes of the previous block that are not inflated yet
	left  uint32 // how many bytes the current block may still inflate to
	some  [256]byte
}

// headers holds those values of a header block that edge needs. A value is empty if the header is
// missing or too long. Only a blockReader with ports set returns port and request.
type headers struct{ kind, port, request string }

// value returns where in the struct headers to store the value of the header with this name, or nil
// if edge does not need that header.
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

// read inflates a header block and checks it against the limits.
func (r *blockReader) read(block []byte) (h headers, err error) {
	if len(r.carry) > 0 {
		block = append(r.carry, block...)
	}
	r.src.Reset(block)
	defer r.src.Reset(nil) // do not keep the block, which belongs to the caller
	if r.zlib == nil {
		if r.zlib, err = zlib.NewReaderDict(&r.src, dictionary); err != nil {
			return h, violation("invalid zlib data in a header block")
		}
	}
	if h, err = r.headers(); err != nil {
		return headers{}, err
	}
	rest := r.src.Len()
	if rest > maxCarry {
		return h, violation("a header block with %d extra bytes", rest)
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
		return h, tooBig("too many headers: %d", count)
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
				return h, violation("a header block with a duplicate header")
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

// number inflates a number of the header block: a count or a length.
func (r *blockReader) number() (uint32, error) {
	b, err := r.inflate(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// field inflates a name or a value of the header block. If it is too long, field inflates it, but
// returns nil.
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

// inflate decompresses and returns the next n bytes of the header block, at most len(r.some).
func (r *blockReader) inflate(n uint32) ([]byte, error) {
	if n > r.left {
		return nil, errHeaderBytes()
	}
	r.left -= n
	if _, err := io.ReadFull(r.zlib, r.some[:n]); err != nil {
		return nil, violation("invalid zlib data in a header block")
	}
	return r.some[:n], nil
}

func errHeaderBytes() error {
	return tooBig("a header block of more than %d bytes", maxHeaderBytes)
}
