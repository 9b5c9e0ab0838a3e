package bridge

import (
	"net/url"
	"strings"
)

// checkURLToken refuses a token in a URL, where every log on the way keeps it (RFC
// 6750 section 5.3). Nobody reads one there: who sends it has mistaken edge for
// something that does, and goes without. A command's arguments and what belongs to
// the application behind a proxy are not edge's to judge.
func checkURLToken(u *url.URL) error {
	if isProxied(u.Path) || !carriesToken(u) {
		return nil
	}
	return TokenInURL()
}

// TokenInURL is the answer to a request with a token in its URL, also for Config.Identify, which knows the request's own.
func TokenInURL() error {
	return badRequest(ReasonURLToken, "a token in a URL ends up in logs; send it in Authorization")
}

func carriesToken(u *url.URL) bool {
	if strings.Contains(u.Path, jwtBegin) {
		for segment := range strings.SplitSeq(u.Path, "/") {
			if isJWT(segment) {
				return true
			}
		}
	}
	for pair := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if isTokenParameter(unescaped(name)) && isJWT(unescaped(value)) {
			return true
		}
	}
	return false
}

// isTokenParameter knows the names under which tokens are sent in queries, RFC
// 6750's own and those that are taken for it.
func isTokenParameter(name string) bool {
	switch strings.ToLower(name) {
	case "access_token", "id_token", "token", "authorization", "bearer":
		return true
	}
	return false
}

// unescaped is a part of a query, or that as it stands where it is not well-formed.
func unescaped(s string) string {
	if clear, err := url.QueryUnescape(s); err == nil {
		return clear
	}
	return s
}

// jwtBegin is base64url of {" with which each token's header begins.
const jwtBegin = "eyJ"

// isJWT knows the shape of a JWS (RFC 7515 section 7.1) and of a JWE, with or
// without a scheme in front.
func isJWT(s string) bool {
	if scheme, rest, ok := strings.Cut(s, " "); ok && strings.EqualFold(scheme, "bearer") {
		s = strings.TrimSpace(rest)
	}
	return strings.HasPrefix(s, jwtBegin) && strings.Count(s, ".") >= 2 && strings.Trim(s, base64URL+".=") == ""
}

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// isProxied tells whether a path is below the proxy of a node, pod or service.
func isProxied(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/v1/")
	if !ok {
		return false
	}
	part := strings.SplitN(rest, "/", 6)
	switch {
	case len(part) >= 3 && part[0] == "nodes":
		return part[2] == "proxy"
	case len(part) >= 5 && part[0] == "namespaces" && (part[2] == "pods" || part[2] == "services"):
		return part[4] == "proxy"
	}
	return false
}
