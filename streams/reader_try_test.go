package streams

import (
	"fmt"
	"io"
	"slices"
	"testing"
)

// tries is a Trier for tests. left holds the bytes that have arrived and, after an empty string,
// the bytes that arrive later. asked records the calls of TryRead and Read.
type tries struct {
	left  []string
	end   error // error after the last bytes; nil: TryRead returns ErrWouldBlock
	asked []string
}

func (s *tries) TryRead(b []byte, again bool) (int, error) {
	s.asked = append(s.asked, map[bool]string{false: "try", true: "try again"}[again])
	switch {
	case len(s.left) == 0 && s.end != nil:
		return 0, s.end
	case len(s.left) == 0 || s.left[0] == "":
		return 0, fmt.Errorf("wrapped: %w", ErrWouldBlock)
	}
	return s.take(b), nil
}

func (s *tries) Read(b []byte) (int, error) {
	s.asked = append(s.asked, "read")
	if len(s.left) > 0 && s.left[0] == "" {
		s.left = s.left[1:]
	}
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	return s.take(b), nil
}

func (s *tries) take(b []byte) int {
	n := copy(b, s.left[0])
	if s.left[0] = s.left[0][n:]; s.left[0] == "" {
		s.left = s.left[1:]
	}
	return n
}

// TestReaderTries checks that Need returns bytes that have already arrived without waiting. It also
// checks that NeedSoon tries soonTries times to get the rest of a frame before it waits.
func TestReaderTries(t *testing.T) {
	soon := slices.Repeat([]string{"try again"}, soonTries)
	for _, c := range []struct {
		name  string
		src   tries
		needs []int // sizes for Need; negative: for NeedSoon
		asked []string
		err   error
	}{
		{"there", tries{left: []string{"abcd"}}, []int{2, 2}, []string{"try"}, nil},
		{"to come", tries{left: []string{"", "abcd"}}, []int{2, 2}, []string{"try", "wait", "read"}, nil},
		{"to come soon", tries{left: []string{"", "abcd"}}, []int{-2, 2}, slices.Concat(soon, []string{"wait", "read"}), nil},
		{"there in two", tries{left: []string{"ab", "cd"}}, []int{4}, []string{"try", "try again"}, nil},
		{
			"the rest to come", tries{left: []string{"ab", "", "cd"}}, []int{4},
			slices.Concat([]string{"try"}, soon, []string{"wait", "read"}), nil,
		},
		{"end", tries{end: io.EOF}, []int{1}, []string{"try"}, io.EOF},
		{"end soon", tries{end: io.EOF}, []int{-1}, []string{"try again"}, io.EOF},
		{"end within", tries{left: []string{"a"}, end: io.EOF}, []int{2}, []string{"try", "try again"}, io.ErrUnexpectedEOF},
		{"end after a wait", tries{}, []int{1}, []string{"try", "wait", "read"}, io.EOF},
		{"broken", tries{end: io.ErrClosedPipe}, []int{1}, []string{"try"}, io.ErrClosedPipe},
	} {
		r := NewReader(&c.src, func() error { c.src.asked = append(c.src.asked, "wait"); return nil })
		var err error
		for _, n := range c.needs {
			need := r.Need
			if n < 0 {
				need, n = r.NeedSoon, -n
			}
			if _, err = need(n); err == nil {
				r.Skip(n)
			}
		}
		if err != c.err || !slices.Equal(c.src.asked, c.asked) {
			t.Errorf("%s: %v, asked %q, want %v, %q", c.name, err, c.src.asked, c.err, c.asked)
		}
		r.Close()
	}
}

// TestReaderTriesNothing checks that a Reader without beforeWait does not call TryRead.
func TestReaderTriesNothing(t *testing.T) {
	src := &tries{left: []string{"abcd"}}
	r := NewReader(src, nil)
	defer r.Close()
	if _, err := r.NeedSoon(4); err != nil || !slices.Equal(src.asked, []string{"read"}) {
		t.Errorf("%v, asked %q", err, src.asked)
	}
}
