package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"edge/bridge/internal/status"
)

// crossOrigin lists the origins whose web pages may read edge's answers with fetch. It works like
// kube-apiserver's --cors-allowed-origins; the comments in cors.go name each difference. CORS does
// not apply to WebSockets: the type origins states which pages may open them.
//
// edge does not use kube-apiserver's own handler. The package of that handler imports 144 other
// packages, and the handler sends Access-Control-Allow-Credentials. edge never sends that header: a
// page of another origin must not be able to use a credential that the browser adds by itself, such
// as a client certificate. Such a page must send a token that it holds itself.
type crossOrigin []*regexp.Regexp

// maxOriginBytes is the maximum length of an Origin header that edge compares with the allowed
// origins. A limit is needed because edge does this before it authenticates the client. A scheme, a
// host of 253 bytes and a port are shorter. A longer Origin is not allowed.
const maxOriginBytes = 1 << 10

// preflightMaxAge is how long a browser may cache the answer to a CORS preflight. If an operator
// removes an origin from the list, its pages cannot read any later answer, in spite of the cached
// preflight: each answer names the origin that may read it.
const preflightMaxAge = 10 * time.Minute

const (
	// corsMethods are the methods that edge allows in the answer to a CORS preflight, the same as
	// kube-apiserver's.
	corsMethods = "POST, GET, OPTIONS, PUT, DELETE, PATCH"
	// corsHeaders are the request headers that edge allows in the answer to a CORS preflight. The
	// list begins with kube-apiserver's. edge adds:
	//
	//	Accept         a value of more than 128 bytes is not CORS-safelisted (Fetch section 2.2.2)
	//	If-None-Match  discovery and OpenAPI answers have an ETag
	//	Impersonate-*  for consoles that show another user's view; edge requests an access review
	//	               of each impersonated value
	corsHeaders = "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since, " +
		"Accept, If-None-Match, Impersonate-User, Impersonate-Group, Impersonate-Uid"
	// corsExposed are the answer headers that a web page of an allowed origin may read: Date, as in
	// kube-apiserver's list, and
	//
	//	Audit-Id     to report a failure with
	//	Warning      for deprecations
	//	Retry-After  of 429 and 503 answers
	//	Etag         for If-None-Match
	corsExposed = "Date, Audit-Id, Warning, Retry-After, Etag"
)

// parseCrossOrigin compiles the regular expressions in list. It applies kube-apiserver's rule: an
// expression must be pinned to the start and the end of the host, see CVE-2022-1996.
// kube-apiserver's own function (validateCorsAllowedOriginList) is not used because its package
// imports etcd.
func parseCrossOrigin(list []string) (crossOrigin, error) {
	var all crossOrigin
	for _, text := range list {
		startPinned := strings.Contains(text, "^") || strings.Contains(text, "//")
		endPinned := strings.Contains(text, "$") || strings.Contains(text, ":")
		expression, err := regexp.Compile(text)
		switch {
		case text == "":
			err = errors.New("the expression is empty")
		case err != nil:
		case !startPinned, !endPinned:
			err = errors.New("the expression is not pinned to the start and the end of the host")
		}
		if err != nil {
			return nil, fmt.Errorf(`bridge: CORS allowed origin %q: %w; write a regular expression such as ^https://example\.com(:|$)`, text, err)
		}
		all = append(all, expression)
	}
	return all, nil
}

// allows reports whether a web page of the given origin may read edge's answers.
func (all crossOrigin) allows(origin string) bool {
	return origin != "" && len(origin) <= maxOriginBytes &&
		slices.ContainsFunc(all, func(e *regexp.Regexp) bool { return e.MatchString(origin) })
}

// serve answers a CORS preflight. For any other request it returns the writer to which the answer
// must be written. A preflight carries no credential (Fetch section 4.8), so serve does not
// authenticate it. As at kube-apiserver, neither the access log nor the audit log contains
// preflights: the request that follows each preflight is logged.
func (all crossOrigin) serve(w http.ResponseWriter, r *http.Request) (to http.ResponseWriter, answered bool) {
	if all == nil {
		return w, false
	}
	c := &corsWriter{ResponseWriter: w}
	if lines := r.Header["Origin"]; len(lines) == 1 && all.allows(lines[0]) {
		c.allowed = lines[0]
	}
	if c.allowed == "" || !isPreflight(r) {
		return c, false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", c.allowed)
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(preflightMaxAge.Seconds())))
	h.Set("Vary", "Origin")
	u := status.BoundWrites(w, r, true) // true: a preflight has no body
	w.WriteHeader(http.StatusNoContent)
	u.Done()
	return nil, true
}

// isPreflight reports whether r is a CORS preflight of a browser (Fetch section 4.8). A preflight
// has no body. edge forwards any other OPTIONS request to the API server. kube-apiserver's CORS
// handler instead answers every OPTIONS request with an allowed Origin itself.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.ContentLength == 0 &&
		len(r.Header["Origin"]) > 0 && r.Header.Get("Access-Control-Request-Method") != ""
}

// explainPreflight adds to the error refused, for the log, that the request is a CORS preflight.
// Without this, a reader of "no credential" would search for a missing credential.
func explainPreflight(refused error) error {
	return fmt.Errorf("a browser's preflight from an origin that --cors-allowed-origins does not allow: %w", refused)
}

// corsWriter replaces the Access-Control-* headers of the upstream answer by edge's own. The API
// server's CORS headers are configured for another front end and may include
// Access-Control-Allow-Credentials.
type corsWriter struct {
	http.ResponseWriter
	allowed string // the page's origin; "": the page may not read the answer
	begun   bool
}

func (w *corsWriter) WriteHeader(code int) {
	if code != http.StatusSwitchingProtocols {
		w.mark()
	}
	w.begun = w.begun || code >= http.StatusOK || code == http.StatusSwitchingProtocols
	w.ResponseWriter.WriteHeader(code)
}

func (w *corsWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// FlushError sends the answer's header as Write does, and then flushes. http.ResponseController
// calls it.
func (w *corsWriter) FlushError() error {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// mark sets the CORS headers of the answer. It adds "Vary: Origin" to every answer, also if the
// request has no Origin. Without it, a cache could store the answer to such a request and send it
// to a web page.
func (w *corsWriter) mark() {
	h := w.Header()
	for name := range h {
		if len(name) >= len(corsPrefix) && strings.EqualFold(name[:len(corsPrefix)], corsPrefix) {
			delete(h, name)
		}
	}
	if !variesByOrigin(h["Vary"]) {
		h.Add("Vary", "Origin")
	}
	if w.allowed != "" {
		h.Set("Access-Control-Allow-Origin", w.allowed)
		h.Set("Access-Control-Expose-Headers", corsExposed)
	}
}

const corsPrefix = "Access-Control-"

func variesByOrigin(lines []string) bool {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Origin") {
				return true
			}
		}
	}
	return false
}

// Unwrap lets http.ResponseController find the underlying writer.
func (w *corsWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
