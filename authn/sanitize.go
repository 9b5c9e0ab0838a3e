package authn

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// userInfo matches the user name and password in a URL, which an error must not quote.
var userInfo = regexp.MustCompile(`//[^\s"]*@`)

// oneLine turns text into one printable line. If text has more bytes than the parameter most,
// oneLine cuts off the rest and appends "...".
func oneLine(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), " ")
}

// maxErrorBytes bounds the text about a failed fetch of keys, in bytes, because an error may
// contain a whole page of the issuer's server.
const maxErrorBytes = 300

// brief returns the text of an error as one short line.
func brief(err error) string { return oneLine(err.Error(), maxErrorBytes) }

const (
	// maxQuotedBytes bounds how much an explanation quotes of one claim, in bytes.
	maxQuotedBytes = 200
	// maxListed bounds how many elements of a list an explanation quotes.
	maxListed = 20
)

func quote(s string) string {
	if len(s) > maxQuotedBytes {
		return fmt.Sprintf("%q...", s[:maxQuotedBytes])
	}
	return fmt.Sprintf("%q", s)
}

func quoteAll(list []string) string {
	var all []string
	for _, s := range list[:min(len(list), maxListed)] {
		all = append(all, quote(s))
	}
	if more := len(list) - maxListed; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
