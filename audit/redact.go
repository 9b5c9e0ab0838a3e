package audit

import (
	"net/url"
	"regexp"
	"strings"
)

const (
	// redacted is written in place of a token.
	redacted = "REDACTED"
	// tokenBegins is how every JWT begins: the base64url encoding of `{"`.
	tokenBegins = "eyJ"
)

// token matches a JWS (signed token) in compact form (RFC 7515 section 7.1). It also matches the
// beginning of a JWE (encrypted token).
var token = regexp.MustCompile(tokenBegins + `[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// accessToken is the query parameter for a bearer token of any kind (RFC 6750 section 2.3). edge
// does not authenticate by it, but a client may send it.
const accessToken = "access_token"

func hasToken(s string) bool { return strings.Contains(s, tokenBegins) && token.MatchString(s) }

func redact(s string) string {
	if !strings.Contains(s, tokenBegins) {
		return s
	}
	return token.ReplaceAllLiteralString(s, redacted)
}

// LoggedPath returns the path of a URL as the access log shows it: escaped, and without tokens.
func LoggedPath(u *url.URL) string { return redactPath(u.EscapedPath()) }

// redactPath replaces each segment of an escaped path that contains a token, escaped or not, by
// REDACTED.
func redactPath(escaped string) string {
	if !strings.Contains(escaped, tokenBegins) && !strings.Contains(escaped, "%") {
		return escaped
	}
	segments := strings.Split(escaped, "/")
	for i, segment := range segments {
		if hasToken(unescaped(segment, url.PathUnescape)) {
			segments[i] = redacted
		}
	}
	return strings.Join(segments, "/")
}

// redactQuery replaces by REDACTED the value of each parameter that is or contains a token, and the
// whole parameter if its name contains a token. The order and the encoding of the other parameters
// do not change. The arguments of a command stay as they are: the audit policy decides whether they
// are recorded.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		switch key := unescaped(rawKey, url.QueryUnescape); {
		case hasToken(key):
			pairs[i] = redacted
		case key == "command":
		case key == accessToken, hasToken(unescaped(rawValue, url.QueryUnescape)):
			pairs[i] = rawKey + "=" + redacted
		}
	}
	return strings.Join(pairs, "&")
}

// unescaped decodes s with the function unescape. It returns s unchanged if unescape returns an
// error.
func unescaped(s string, unescape func(string) (string, error)) string {
	if plain, err := unescape(s); err == nil {
		return plain
	}
	return s
}

// harmless has the query parameters that the access log shows: those of Kubernetes that select what
// is requested and how. Any other parameter may be an argument of a command, or a password for an
// application behind a service proxy.
var harmless = func() map[string]bool {
	known := make(map[string]bool)
	for _, name := range []string{
		"watch", "labelSelector", "fieldSelector", "limit", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "timeout",
		"allowWatchBookmarks", "sendInitialEvents",
		"container", "stdin", "stdout", "stderr", "tty", "ports",
		"follow", "previous", "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "timestamps", "stream",
		"pretty", "dryRun", "fieldManager", "fieldValidation", "force", "gracePeriodSeconds", "propagationPolicy", "orphanDependents",
		"includeObject",
	} {
		known[name] = true
	}
	return known
}()

// maxURI limits the URL in the access log, in bytes.
const maxURI = 2048

// loggedURI returns the URL as the access log shows it: the path as the client sent it, and the
// query parameters that the variable harmless lists. One "..." at the end stands for all other
// parameters.
func loggedURI(u *url.URL) text {
	var b strings.Builder
	b.WriteString(LoggedPath(u))
	separator, more := byte('?'), false
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		switch {
		case pair == "":
		case b.Len() > maxURI || !harmless[key]: // the key needs no decoding: clients do not percent-encode the names in harmless
			more = true
		default:
			b.WriteByte(separator)
			b.WriteString(redactQuery(pair))
			separator = '&'
		}
	}
	if more {
		b.WriteByte(separator)
		b.WriteString(ellipsis)
	}
	return bounded(b.String(), maxURI)
}
