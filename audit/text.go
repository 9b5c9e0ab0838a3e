package audit

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ellipsis ends what was cut.
const ellipsis = "..."

// text is what somebody else chose: bounded, without a token, and printed so that no terminal and no reader takes it for more
// than a value. slog's text format quotes it; its JSON leaves to us what is neither a letter nor a control character of ASCII.
type text string

// bounded returns at most that many bytes of s.
func bounded(s string, most int) text {
	s = redact(s)
	if len(s) <= most {
		return text(s)
	}
	cut := most - len(ellipsis)
	for back := 1; back < utf8.UTFMax && !utf8.RuneStart(s[cut]); back++ {
		cut--
	}
	return text(s[:cut] + ellipsis)
}

// MarshalJSON escapes whatever is not printable: a C1 control or a change of direction works on a terminal as ESC does.
func (t text) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, len(t)+2), '"')
	for _, r := range string(t) { // what is no UTF-8 comes as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case strconv.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"'), nil
}

// MarshalText escapes DEL, which slog takes for printable; it quotes whatever else is not.
func (t text) MarshalText() ([]byte, error) {
	return []byte(strings.ReplaceAll(string(t), "\x7f", `\x7f`)), nil
}

// list is several of them: an array in JSON; in text with commas between, and quotes where a value has one.
type list []text

// maxName bounds a name, and any other value of a list, in bytes; maxList all values of a list together, and maxItems their
// number.
const (
	maxName  = 256
	maxList  = 2048
	maxItems = 64
)

// newList takes as many of the values as there is room for. What is left out shows as "...".
func newList(values []string) list {
	l := make(list, 0, min(len(values), maxItems))
	room := maxList
	for i, value := range values {
		item := bounded(value, maxName)
		if room -= len(item); room < 0 || i == maxItems {
			return append(l, ellipsis)
		}
		l = append(l, item)
	}
	return l
}

func (l list) MarshalText() ([]byte, error) {
	var b []byte
	for i, item := range l {
		if i > 0 {
			b = append(b, ',')
		}
		if item == "" || strings.ContainsAny(string(item), "\", \\\x7f") {
			b = strconv.AppendQuote(b, string(item))
			continue
		}
		b = append(b, item...)
	}
	return b, nil
}

func (l list) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, item := range l {
		if i > 0 {
			b = append(b, ',')
		}
		quoted, err := item.MarshalJSON()
		if err != nil {
			return nil, err
		}
		b = append(b, quoted...)
	}
	return append(b, ']'), nil
}
