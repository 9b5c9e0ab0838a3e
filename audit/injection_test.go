package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// sights are strings that an attacker may send to break a log line or to control a terminal.
var sights = []string{
	"a\r\nAuSuccess user=root", "\x1b[2J\x1b]0;owned\x07", "\u2028\u2029\u0085", "\u009b31m", "\u202egnp", `"quoted" \" \`, "\xff\xfe\xc3",
	"\x00", "a=b c=d", "\U000e0041\U0010ffff", "{\"msg\":\"AuSuccess\"}", strings.Repeat("x", 1<<20), strings.Repeat("\x1b", 1<<20),
	strings.Repeat("\xff", 1<<20), strings.Repeat("\u202e", 1<<20), "",
}

// maxLine is the greatest allowed length of an access log line, for any input, in bytes.
const maxLine = 64 << 10

// TestLogInjection checks the access log with hostile text in a user's name, group, uid or extra,
// in the user agent, the method, X-Forwarded-For or the URI. Each request has exactly one line,
// which can be parsed, is limited in length, and has no character that controls a terminal.
func TestLogInjection(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for _, sight := range sights {
			var printed bytes.Buffer
			log := NewAccessLog(slog.New(handlers(&printed)[format]))
			requestor := &user.DefaultInfo{Name: sight, UID: sight, Groups: []string{sight, "a,system:masters", sight}, Extra: map[string][]string{}}
			for range maxItems {
				requestor.Groups = append(requestor.Groups, sight)
			}
			target := impersonate.Identity{Name: sight + "x", UID: sight, Groups: requestor.Groups, Requestor: requestor, Nested: true, Dropped: requestor.Groups, Extra: map[string][]string{sight: {sight}}}
			r := arrived("GET", "/", sight+","+sight)
			r.Method, r.Proto = sight, sight
			r.URL = &url.URL{Path: "/" + sight, RawQuery: "labelSelector=" + sight + "&fieldSelector=" + sight + "&other=" + sight}
			r.Header.Set("User-Agent", sight)
			seen := log.Begin(r)
			seen.Identified(r, target, nil)
			seen.Ended(bridge.End{Code: 101, Stream: &bridge.Stream{ID: "1", Detail: sight}})

			seen = log.Begin(r)
			seen.Identified(r, target, errors.New(sight))
			seen.Ended(bridge.End{Code: 403})

			for i, line := range strings.SplitAfter(printed.String(), "\n") {
				if line == "" && i == 2 {
					break
				}
				wellFormed(t, format, line)
				if i > 1 {
					t.Errorf("%s: more than two lines", format)
				}
			}
		}
	}
}

func wellFormed(t *testing.T, format, line string) {
	t.Helper()
	if len(line) > maxLine {
		t.Errorf("%s: a line of %d bytes", format, len(line))
	}
	if !utf8.ValidString(line) || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Fatalf("%s: %q", format, line)
	}
	line = strings.TrimSuffix(line, "\n")
	if i := strings.IndexFunc(line, func(r rune) bool { return !strconv.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) }); i >= 0 {
		t.Errorf("%s: %q in the line", format, line[i:min(i+20, len(line))])
	}
	fields, err := parseLine(format, line)
	if err != nil {
		t.Fatalf("%s: %v in %.300s", format, err, line)
	}
	if m := fields["msg"]; m != success && m != failure {
		t.Errorf("%s: msg is %q", format, m)
	}
	for key, value := range fields {
		if len(value) > maxLine || len(key) > maxMethod {
			t.Errorf("%s: %s has %d bytes", format, key, len(value))
		}
	}
}

// parseLine parses an access log line in text or JSON. It returns an error if a key occurs twice.
func parseLine(format, line string) (map[string]string, error) {
	fields := map[string]string{}
	add := func(key, value string) error {
		if _, ok := fields[key]; ok {
			return fmt.Errorf("%s is there twice", key)
		}
		fields[key] = value
		return nil
	}
	if format == "json" {
		d := json.NewDecoder(strings.NewReader(line))
		if _, err := d.Token(); err != nil {
			return nil, err
		}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			var value any
			if err := d.Decode(&value); err != nil {
				return nil, err
			}
			if err := add(fmt.Sprint(key), fmt.Sprint(value)); err != nil {
				return nil, err
			}
		}
		return fields, nil
	}
	for line != "" {
		key, rest, ok := strings.Cut(line, "=")
		if !ok || strings.ContainsAny(key, ` "`) {
			return nil, fmt.Errorf("no key at %.50q", line)
		}
		value := rest
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, err
			}
			value, _ = strconv.Unquote(quoted)
			rest = rest[len(quoted):]
		} else if end := strings.IndexByte(rest, ' '); end >= 0 {
			value, rest = rest[:end], rest[end:]
		} else {
			rest = ""
		}
		if err := add(key, value); err != nil {
			return nil, err
		}
		line = strings.TrimPrefix(rest, " ")
	}
	return fields, nil
}
