package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"edge/bridge/internal/status"
)

// crossOrigin is which web pages of other origins may read edge's answers with
// fetch. It is kube-apiserver's --cors-allowed-origins but for what doc says at
// each difference; WebSockets are not CORS's and go by origins.
//
// kube-apiserver's own handler is not used: its package brings 144 others along,
// and it sends Access-Control-Allow-Credentials. edge never does: what a browser
// adds by itself, a client certificate, must not be of use to a page of another
// origin. A page sends the token that it holds.
type crossOrigin []*regexp.Regexp

// maxOriginBytes bounds the Origin that is matched, before anybody is known: a
// scheme, a host of 253 bytes and a port are less. A longer one is not allowed.
const maxOriginBytes = 1 << 10

// preflightMaxAge is how long a browser need not ask again. An origin that is taken
// off the list reads nothing from that moment, since each answer names who may.
const preflightMaxAge = 10 * time.Minute

const (
	// corsMethods are kube-apiserver's.
	corsMethods = "POST, GET, OPTIONS, PUT, DELETE, PATCH"
	// corsHeaders are kube-apiserver's and, in the second line: Accept, which lists of
	// several types make longer than the 128 bytes that need no leave; If-None-Match
	// for discovery and OpenAPI, which have an ETag; Impersonate-* for consoles with
	// "view as", each reviewed.
	corsHeaders = "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since, " +
		"Accept, If-None-Match, Impersonate-User, Impersonate-Group, Impersonate-Uid"
	// corsExposed is kube-apiserver's Date and: Audit-Id to report a failure by, Warning
	// for deprecations, Retry-After of 429 and 503, Etag for If-None-Match.
	corsExposed = "Date, Audit-Id, Warning, Retry-After, Etag"
)

// parseCrossOrigin has kube-apiserver's rule (validateCorsAllowedOriginList, which
// is in a package that brings etcd along): an expression has something that pins it
// to the host's start and end, see CVE-2022-1996.
func parseCrossOrigin(list []string) (crossOrigin, error) {
	var all crossOrigin
	for _, text := range list {
		startPinned := strings.Contains(text, "^") || strings.Contains(text, "//")
		endPinned := strings.Contains(text, "$") || strings.Contains(text, ":")
		expression, err := regexp.Compile(text)
		switch {
		case text == "":
			err = errors.New("it is empty")
		case err != nil:
		case !startPinned, !endPinned:
			err = errors.New("it does not pin to the start and end of the host")
		}
		if err != nil {
			return nil, fmt.Errorf(`bridge: CORS allowed origin %q: %w; write a regular expression such as ^https://example\.com(:|$)`, text, err)
		}
		all = append(all, expression)
	}
	return all, nil
}

// allows tells whether a page of an origin may read an answer.
func (all crossOrigin) allows(origin string) bool {
	return origin != "" && len(origin) <= maxOriginBytes &&
		slices.ContainsFunc(all, func(e *regexp.Regexp) bool { return e.MatchString(origin) })
}

// serve answers a preflight, and otherwise returns where the answer is to be
// written. Preflights have no credential (Fetch section 4.8), so nobody is to be
// known for them; neither log has them, as at kube-apiserver: each is one of a
// request that follows and is logged.
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
	h.Set("Access-Control-Max-Age", fmt.Sprint(int(preflightMaxAge.Seconds())))
	h.Set("Vary", "Origin")
	u := status.BoundWrites(w, r, true) // a preflight has no body
	w.WriteHeader(http.StatusNoContent)
	u.Done()
	return nil, true
}

// isPreflight recognises a browser's question of Fetch section 4.8, which has no
// body. Any other OPTIONS is a request to the API server, where kube-apiserver
// answers each that has an origin.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.ContentLength == 0 &&
		len(r.Header["Origin"]) > 0 && r.Header.Get("Access-Control-Request-Method") != ""
}

// explainPreflight tells the log why a preflight was refused: "no credential" alone
// would have its reader look for one.
func explainPreflight(refused error) error {
	return fmt.Errorf("a browser's preflight, from an origin that --cors-allowed-origins does not allow: %w", refused)
}

// corsWriter makes edge's word about origins the only one in an answer: upstream's
// own is about another front, and comes with Access-Control-Allow-Credentials.
type corsWriter struct {
	http.ResponseWriter
	allowed string // the page's origin; "": it may not read the answer
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

// FlushError begins the answer as Write does; http.ResponseController looks for it.
func (w *corsWriter) FlushError() error {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// mark has Vary in each answer, also of a request without an origin: a cache must
// not give it to a page.
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

// Unwrap is for http.ResponseController.
func (w *corsWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
