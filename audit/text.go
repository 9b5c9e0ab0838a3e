package audit

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ellipsis marks a value that was cut.
const ellipsis = "..."

// text is a value that a client or an issuer chose, prepared for the access log. It is limited in
// length, contains no token, and is escaped so that it can neither control a terminal nor look like
// another field. slog's text handler quotes such values; slog's JSON handler escapes only the
// control characters of ASCII, so text escapes all other control characters itself.
type text string

// bounded returns s without tokens. If the result is longer than the parameter most, in bytes, it
// is cut at the end of a rune and ends in "...".
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

// MarshalJSON escapes every character that is not printable: a C1 control or a change of writing
// direction affects a terminal as ESC does.
func (t text) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, len(t)+2), '"')
	for _, r := range string(t) { // invalid UTF-8 becomes U+FFFD
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

// MarshalText escapes DEL, which slog does not escape. slog quotes all other characters that are
// not printable.
func (t text) MarshalText() ([]byte, error) {
	return []byte(strings.ReplaceAll(string(t), "\x7f", `\x7f`)), nil
}

// list is a list of texts: an array in JSON. As text, the items are joined by commas, and items
// that contain special characters are quoted.
type list []text

// maxName limits one name or one item of a list, in bytes. maxList limits all items of a list
// together, in bytes, and maxItems their number.
const (
	maxName  = 256
	maxList  = 2048
	maxItems = 64
)

// newList returns the values that fit within maxItems and maxList. One "..." at the end stands for
// the values that do not fit.
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
