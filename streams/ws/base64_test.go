package ws

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// base64Inputs are payloads of messages, valid and invalid. The expected result is that of
// encoding/base64.
var base64Inputs = []string{
	"", "\n", "\r\n\r\n",
	"QQ==", "QUI=", "QUJD", "QUJDRA==", "QUJDREU=", "QUJDREVG",
	"QR==", "QUJ=", // the last character has excess bits that are not 0
	"Q\nQ\r=\n=\n", "\nQUI\n=\r\n", "QUJD\r\nREVG\r\n", "Q\n\n\nU\nJ\nD",
	"++//", "+/8=", "AAAA", "////",
	strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 2),
	strings.Repeat("QUJD", 15) + "\nQQ==",

	"Q", "QU", "QUI", "QUJDR", "QUJDRA", "QUJDRA=", "Q\n", "QQ=\n", // an incomplete group of four characters
	"=", "==", "====", "Q=", "Q==", "Q===", "QUI==", "QUJD=", "QQ===", "QQ=\n==", "QQ====", // too much padding
	"QQ==QUJD", "QQ==Q", "QUI=Q", "QQ=Q", "QQ=Q=", "QUI=\nQ", // with characters after the padding
	"Q QI", "QUJ ", "QUJ-", "QUJ_", "QU\x00D", "\xff\xff\xff\xff", "QUJDREV?", "?", "QUJD?", // with characters outside the alphabet
}

// decodePieces decodes the pieces of one message. It first copies each piece to a new buffer,
// because the decoder overwrites its input.
func decodePieces(pieces ...[]byte) ([]byte, error) {
	var d base64Decoder
	var all []byte
	for _, p := range pieces {
		b := bytes.Clone(p)
		n, err := d.decode(b)
		all = append(all, b[:n]...)
		if err != nil {
			return all, err
		}
	}
	return all, d.end()
}

// TestBase64 checks that a message that is split in two, in three or byte by byte decodes as
// encoding/base64 decodes the whole message. If the message is invalid, the bytes before the error
// must be the same.
func TestBase64(t *testing.T) {
	for _, s := range base64Inputs {
		in := []byte(s)
		want, wantErr := base64.StdEncoding.DecodeString(s)
		for a := range len(in) + 1 {
			for b := a; b <= len(in); b++ {
				got, err := decodePieces(in[:a], in[a:b], in[b:])
				if (err == nil) != (wantErr == nil) {
					t.Errorf("%q, cut at %d and %d: %v, want %v", in, a, b, err, wantErr)
				}
				if err == nil && !bytes.Equal(got, want) || !bytes.HasPrefix(got, want) {
					t.Errorf("%q, cut at %d and %d: %q, want %q", in, a, b, got, want)
				}
			}
		}
		pieces := make([][]byte, len(in))
		for i := range in {
			pieces[i] = in[i : i+1]
		}
		if got, err := decodePieces(pieces...); (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("%q, byte by byte: %q, %v, want %q, %v", in, got, err, want, wantErr)
		}
	}
}

// TestBase64Encoded checks that the output of encoding/base64 is decoded correctly at every length.
func TestBase64Encoded(t *testing.T) {
	all := bytes.Repeat([]byte{0x00, 0xff, 0x80, 0x3e, 0xfb, 0xbf}, 50)
	for n := range all {
		b := []byte(base64.StdEncoding.EncodeToString(all[:n]))
		if got, err := decodePieces(b[:n/2], b[n/2:]); err != nil || !bytes.Equal(got, all[:n]) {
			t.Errorf("%d bytes: %q, %v", n, got, err)
		}
	}
}

// FuzzBase64 compares base64Decoder with encoding/base64, wherever the input is split.
func FuzzBase64(f *testing.F) {
	for i, s := range base64Inputs {
		f.Add([]byte(s), uint8(i), uint8(1+i%5))
	}
	captures, err := filepath.Glob("testdata/*.base64")
	if err != nil || len(captures) == 0 {
		f.Fatal(captures, err)
	}
	payload := regexp.MustCompile("[A-Za-z0-9+/]{4,}=*")
	for _, file := range captures {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for i, m := range payload.FindAll(b, -1) {
			f.Add(m[1:], uint8(i), uint8(3)) // a base64 message without its channel digit
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, first, step uint8) {
		cut := min(int(first), len(in))
		pieces := append([][]byte{in[:cut]}, slices.Collect(slices.Chunk(in[cut:], 1+int(step)))...)
		got, err := decodePieces(pieces...)
		want, wantErr := base64.StdEncoding.DecodeString(string(in))
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%q: %q, %v, want %q, %v", in, got, err, want, wantErr)
		}
	})
}
