package authn

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// userInfo is a user name and password in a URL, which is an error that must not quote itself.
var userInfo = regexp.MustCompile(`//[^\s"]*@`)

// oneLine makes one printable line of at most about most bytes.
func oneLine(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), " ")
}

// maxErrorBytes bounds what is said of a failed fetch: its text may hold a page out of a peer.
const maxErrorBytes = 300

// brief makes one short line of an error's text.
func brief(err error) string { return oneLine(err.Error(), maxErrorBytes) }

const (
	// maxQuotedBytes bounds what an explanation quotes of one claim.
	maxQuotedBytes = 200
	// maxListed bounds how many of a list's elements it quotes.
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
