package serving

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// block returns an HPACK block (the encoded header of HTTP/2) of the fields. It contains a table
// size update and every representation of a field.
func block(t testing.TB, fields ...hpack.HeaderField) []byte {
	t.Helper()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(1000)
	for _, f := range fields {
		if err := e.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func someFields() []hpack.HeaderField {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/api"}, {Name: "a", Value: ""}, {Name: "", Value: ""},
		{Name: "authorization", Value: "Bearer x", Sensitive: true}, {Name: "x-long", Value: string(bytes.Repeat([]byte("\x01"), 5000))},
	}
	for i := range 50 {
		fields = append(fields, hpack.HeaderField{Name: "impersonate-group", Value: fmt.Sprint(i % 7)})
	}
	return fields
}

// counted passes the HPACK block b to a scanner in pieces of the sizes that the function cuts
// returns. It returns the number of fields, their cost and the scanner.
func counted(b []byte, cuts func() int) (n int, cost int64, f hpackScanner) {
	for len(b) > 0 {
		k := min(cuts(), len(b))
		cost += f.add(b[:k])
		b = b[k:]
	}
	return f.n, cost, f
}

// TestFieldsAtEverySplit checks that an HPACK block has the same number of fields and the same cost
// wherever it is split.
func TestFieldsAtEverySplit(t *testing.T) {
	fields := someFields()
	b := block(t, fields...)
	n, cost, f := counted(b, func() int { return len(b) })
	if n != len(fields) || f.broken || f.part != first {
		t.Fatalf("%d fields of %d, %+v", n, len(fields), f)
	}
	if least := int64(len(fields) * lineBytes); cost < least || cost < int64(len(b)) {
		t.Errorf("costs %d, want at least %d for %d fields of %d bytes", cost, least, len(fields), len(b))
	}
	for size := 1; size < 40; size++ {
		if n, c, _ := counted(b, func() int { return size }); n != len(fields) || c != cost {
			t.Errorf("in pieces of %d: %d fields, cost %d; want %d, %d", size, n, c, len(fields), cost)
		}
	}
}

// FuzzFields compares hpackScanner with the HPACK decoder of golang.org/x/net: if that decoder
// accepts a block, both must find the same number of fields.
func FuzzFields(f *testing.F) {
	f.Add(block(f, someFields()...), uint64(1))
	f.Add([]byte{0x82, 0x3f, 0xe1, 0x1f, 0x40, 1, 'a', 0x81, 0xff}, uint64(2))
	f.Add([]byte{0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		n, cost, state := counted(b, func() int { return 1 + random.IntN(20) })
		if cost < int64(len(b)) || cost < int64(n*lineBytes) {
			t.Fatalf("%d fields in %d bytes cost %d", n, len(b), cost)
		}
		emitted := 0
		d := hpack.NewDecoder(4096, func(hpack.HeaderField) { emitted++ })
		if _, err := d.Write(b); err != nil || d.Close() != nil {
			return
		}
		if n != emitted || state.broken || state.part != first {
			t.Fatalf("x/net: %d fields; ours: %d, %+v", emitted, n, state)
		}
	})
}

// FuzzFrames compares http2Counter with the framer of golang.org/x/net: both must find the same
// number of complete headers, wherever the bytes are split.
func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	framer := http2.NewFramer(&b, nil)
	head := block(f, someFields()...)
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head[:10], PadLength: 7, Priority: http2.PriorityParam{StreamDep: 3}})
	framer.WriteContinuation(1, false, nil)
	framer.WriteContinuation(1, true, head[10:])
	framer.WriteData(1, false, []byte("body"))
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndHeaders: true, EndStream: true})
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: head, EndHeaders: true})
	f.Add(b.Bytes(), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := &http2Counter{preface: prefaceSize}
		var entries []entry
		for rest := b; len(rest) > 0; {
			k := min(1+random.IntN(30), len(rest))
			entries = c.count(entries, rest[:k])
			rest = rest[k:]
		}
		ends := 0
		for _, e := range entries {
			if e.end != more {
				ends++
			}
		}
		want, broken := 0, false
		reader := http2.NewFramer(io.Discard, bytes.NewReader(b))
		reader.SetMaxReadFrameSize(1<<24 - 1)
		for !broken {
			frame, err := reader.ReadFrame()
			if broken = err != nil; broken {
				if err != io.EOF {
					return // after a protocol error the counter and the framer need not agree
				}
				break
			}
			switch frame := frame.(type) {
			case *http2.HeadersFrame:
				want += boolToInt(frame.HeadersEnded())
			case *http2.ContinuationFrame:
				want += boolToInt(frame.HeadersEnded())
			}
		}
		if ends != want {
			t.Fatalf("%d headers, want %d", ends, want)
		}
	})
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestFrames checks the cost of each header of an HTTP/2 connection, and where each header ends.
func TestFrames(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&b, nil)
	head := block(t, someFields()...)
	_, cost, _ := counted(head, func() int { return len(head) })
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head[:10], PadLength: 200})
	framer.WriteContinuation(1, true, head[10:])
	framer.WriteData(1, false, bytes.Repeat([]byte{1}, 1000))
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndHeaders: true, EndStream: true})
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: head, EndHeaders: true})
	for size := 1; size < 300; size += 7 {
		c := new(http2Counter)
		var got []entry
		var sum int64
		for rest := b.Bytes(); len(rest) > 0; {
			k := min(size, len(rest))
			for _, e := range c.count(nil, rest[:k]) {
				if sum += e.cost; e.end != more {
					got, sum = append(got, entry{sum, e.end}), 0
				}
			}
			rest = rest[k:]
		}
		if want := []entry{{cost, whole}, {cost, dropped}, {cost, whole}}; fmt.Sprint(got) != fmt.Sprint(want) || sum != 0 {
			t.Fatalf("in pieces of %d: %v, want %v", size, got, want)
		}
	}
}

// TestLines checks the cost of an HTTP/1.1 header wherever it is split, and that a body costs
// nothing.
func TestLines(t *testing.T) {
	for text, want := range map[string]struct {
		cost int64
		ends bool
	}{
		"GET / HTTP/1.1\r\nA: b\r\n\r\n":                              {3 * lineBytes, true},
		"GET / HTTP/1.1\nA: b\n\n":                                    {3 * lineBytes, true},
		"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\nmore":              {3 * lineBytes, true},
		"GET / HTTP/1.1\r\n\r \r\n":                                   {2 * lineBytes, false},
		"GET / HTTP/1.1\r\nA: " + string(make([]byte, 1000)):          {lineBytes + 1003, false},
		"GET / HTTP/1.1\r\n" + string(bytes.Repeat([]byte("a\n"), 9)): {10 * lineBytes, false},
	} {
		for size := 1; size <= len(text); size++ {
			var cost int64
			ends := false
			l := new(http1Counter)
			for rest := []byte(text); len(rest) > 0; {
				k := min(size, len(rest))
				for _, e := range l.count(nil, rest[:k]) {
					cost += e.cost
					ends = ends || e.end == whole
				}
				rest = rest[k:]
			}
			if cost != want.cost || ends != want.ends {
				t.Errorf("%.40q in pieces of %d: %d, %v; want %v", text, size, cost, ends, want)
			}
		}
	}
}
