package spdy

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
)

// TestDictionary checks the Adler-32 checksum of the dictionary, which is its ID (RFC 1950),
// against the known checksum of SPDY/3's dictionary.
func TestDictionary(t *testing.T) {
	if len(dictionary) != 1423 || adler32.Checksum(dictionary) != 0xe3c6a7c2 || dictionaryID != 0xe3c6a7c2 {
		t.Errorf("%d bytes, %08x", len(dictionary), dictionaryID)
	}
}

// TestStoredBlocks checks that moby/spdystream reads edge's header blocks. It writes thousands of
// blocks of many lengths, so that the zlib window ends at every place of a block.
func TestStoredBlocks(t *testing.T) {
	var b []byte
	var w blockWriter
	const n = 3000
	random := rand.New(rand.NewPCG(1, 2))
	values := make([]string, n)
	for i := range n {
		id := uint32(2*i + 1)
		if i%3 == 0 {
			b = w.appendSynReply(b, id)
			continue
		}
		values[i] = strings.Repeat("v", random.IntN(200))
		b = w.appendSynStream(b, id, "streamtype", "data", "port", values[i])
	}
	framer, err := moby.NewFramer(nil, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		id := moby.StreamId(2*i + 1)
		switch f := frame.(type) {
		case *moby.SynReplyFrame:
			if i%3 != 0 || f.StreamId != id || len(f.Headers) != 0 {
				t.Fatalf("frame %d is %+v", i, f)
			}
		case *moby.SynStreamFrame:
			if i%3 == 0 || f.StreamId != id || len(f.Headers) != 2 || f.Headers.Get("streamType") != "data" || f.Headers.Get("port") != values[i] {
				t.Fatalf("frame %d is %+v", i, f)
			}
		}
	}
}

// deflated returns header blocks as a compressor with SPDY's dictionary and the given level writes
// them.
func deflated(t testing.TB, level int, blocks ...[]byte) (out [][]byte) {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevelDict(&b, level, dictionary)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		w.Write(block)
		w.Flush()
		out = append(out, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	return out
}

// plain returns a header block before it is compressed.
func plain(headers ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(headers)/2))
	for _, s := range headers {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// TestReadBlocks checks that a blockReader reads compressed header blocks. There are so many blocks
// that the zlib window ends at many places of a block, also directly after a block.
func TestReadBlocks(t *testing.T) {
	for level := zlib.HuffmanOnly; level <= zlib.BestCompression; level++ {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, uint64(level+2)))
			var blocks [][]byte
			kinds := []string{"error", "data", "stdin"}
			for i := range 4000 {
				junk := make([]byte, random.IntN(60))
				for j := range junk {
					junk[j] = byte('a' + random.IntN(26))
				}
				blocks = append(blocks, plain("port", string(junk), "streamtype", kinds[i%3]))
			}
			var r blockReader
			for i, block := range deflated(t, level, blocks...) {
				h, err := r.read(block)
				if err != nil || h.kind != kinds[i%3] {
					t.Fatalf("block %d of %d bytes: %q, %v", i, len(block), h.kind, err)
				}
				clear(block) // the blockReader must not need the bytes of the block any more
			}
		})
	}
}

// TestWindowEnd checks a header block that ends where the zlib window is full: its flush bytes are
// left for the next block, and the next block is read correctly.
func TestWindowEnd(t *testing.T) {
	for _, level := range []int{zlib.NoCompression, zlib.BestSpeed, zlib.BestCompression} {
		const window = 32 << 10
		fill := window - len(dictionary)
		var blocks [][]byte
		for fill > 0 {
			n := min(fill, 4000)
			if rest := fill - n; rest > 0 && rest < 100 {
				n -= 100
			}
			value := make([]byte, n-len(plain("a", "")))
			for i := range value {
				value[i] = byte(i * i >> 3)
			}
			blocks = append(blocks, plain("a", string(value)))
			fill -= n
		}
		blocks = append(blocks, plain("streamtype", "error"), plain("streamtype", "stdin"))
		var r blockReader
		carried := false
		for i, block := range deflated(t, level, blocks...) {
			h, err := r.read(block)
			if err != nil {
				t.Fatalf("level %d, block %d: %v", level, i, err)
			}
			carried = carried || len(r.carry) > 0
			if i == len(blocks)-1 && h.kind != "stdin" {
				t.Errorf("level %d: the last block is %q", level, h.kind)
			}
		}
		if !carried {
			t.Errorf("level %d: nothing was left for the next block: this test tests nothing", level)
		}
	}
}

// TestBlockBounds checks each limit of a header block, and blocks just within the limits.
func TestBlockBounds(t *testing.T) {
	many := func(n int) (headers []string) {
		for i := range n {
			headers = append(headers, fmt.Sprint("h", i), "v")
		}
		return headers
	}
	fits := plain("a", strings.Repeat("x", maxHeaderBytes-len(plain("a", ""))))
	tests := []struct {
		name  string
		plain []byte
		code  int // code of the expected ProtocolError; 0: no error
		kind  string
	}{
		{"no header", plain(), 0, ""},
		{"the most headers", plain(many(maxHeaders)...), 0, ""},
		{"one header more", plain(many(maxHeaders + 1)...), streams.CloseTooBig, ""},
		{"2^32-1 headers", []byte{0xff, 0xff, 0xff, 0xff}, streams.CloseTooBig, ""},
		{"the most bytes", fits, 0, ""},
		{"one byte more", plain("aa", string(fits[len(plain("a", "")):])), streams.CloseTooBig, ""},
		{"too many bytes in small pieces", plain(slices.Repeat([]string{strings.Repeat("x", 256)}, 2*maxHeaders)...), streams.CloseTooBig, ""},
		{"a name of 2^32-1", []byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, streams.CloseTooBig, ""},
		{"a value of 2^32-1", []byte{0, 0, 0, 1, 0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff}, streams.CloseTooBig, ""},
		{"1000:1", plain("a", strings.Repeat("x", 1<<20)), streams.CloseTooBig, ""},
		{"a length beyond the block", []byte{0, 0, 0, 1, 0, 0, 0, 9, 'a'}, streams.CloseProtocol, ""},
		{"fewer headers than counted", []byte{0, 0, 0, 2, 0, 0, 0, 1, 'a', 0, 0, 0, 1, 'b'}, streams.CloseProtocol, ""},
		{"the type", plain("a", "b", "streamtype", "error", "c", "d"), 0, "error"},
		{"the type twice", plain("streamtype", "error", "streamtype", "stdin"), streams.CloseProtocol, ""},
		{"the type empty and twice", plain("streamtype", "", "streamtype", "stdin"), streams.CloseProtocol, ""},
		{"a long name that ends like it", plain(strings.Repeat("x", 256)+"streamtype", "error"), 0, ""},
		{"a long type", plain("streamtype", strings.Repeat("x", 1000)), 0, ""},
		{"upper case", plain("streamType", "error"), 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r blockReader
			h, err := r.read(deflated(t, zlib.BestCompression, test.plain)[0])
			if code := codeOf(err); code != test.code || h.kind != test.kind {
				t.Errorf("%q, %v", h.kind, err)
			}
		})
	}
	raw := []struct {
		name  string
		block []byte
	}{
		{"nothing", nil},
		{"no zlib", []byte("hello")},
		{"another dictionary", []byte{0x78, 0xbb, 1, 2, 3, 4, 0, 0, 0, 0xff, 0xff}},
		{"no dictionary", []byte{0x78, 0x01, 0x02, 0x61, 0, 0, 0, 0, 0xff, 0xff}},
		{"an end", append(zlibStart(), 0x01, 4, 0, 0xfb, 0xff, 0, 0, 0, 1)},
		{"a wrong stored length", append(zlibStart(), 0x00, 4, 0, 4, 0, 0, 0, 0, 0)},
		{"a reserved block type", append(zlibStart(), 0x06)},
		{"empty blocks without end", append(new(blockWriter).append(nil), bytes.Repeat(syncBlock[:], 20)...)},
	}
	for _, test := range raw {
		t.Run(test.name, func(t *testing.T) {
			var r blockReader
			if kind, err := r.read(test.block); codeOf(err) != streams.CloseProtocol {
				t.Errorf("%q, %v", kind, err)
			}
		})
	}
}

func zlibStart() []byte {
	return binary.BigEndian.AppendUint32(zlibHead[:], dictionaryID)
}

// codeOf returns the code of a *ProtocolError, 0 for no error, and -1 for any other error.
func codeOf(err error) int {
	var p *streams.ProtocolError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &p):
		return p.Code
	}
	return -1
}

// TestPortHeaders checks that a blockReader with ports set returns the values streamtype, port and
// request ID, and refuses duplicates.
func TestPortHeaders(t *testing.T) {
	r := blockReader{ports: true}
	blocks := deflated(t, zlib.BestCompression,
		plain("port", "80", "a", "b", "streamtype", "data", "requestid", "7"), plain("port", "", "streamtype", "error"), plain("port", "80", "port", "81"))
	for i, want := range []headers{{"data", "80", "7"}, {"error", "", ""}} {
		if h, err := r.read(blocks[i]); err != nil || h != want {
			t.Errorf("%+v, %v", h, err)
		}
	}
	if h, err := r.read(blocks[2]); codeOf(err) != streams.CloseProtocol {
		t.Errorf("a port twice: %+v, %v", h, err)
	}
}
