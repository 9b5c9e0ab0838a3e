package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/negotiate"
)

// An Answer is an answer to an upgrade: a connection that speaks link, or with
// conn nil a refusal, whose body its holder closes.
type Answer struct {
	Offer    negotiate.Offer
	Conn     net.Conn
	Response *http.Response
}

// Refusal says why an upgrade was refused, and closes its body.
func (a Answer) Refusal() error {
	body := peekBody(a.Response, maxExplained)
	a.close()
	var s metav1.Status
	if json.Unmarshal(body, &s) == nil && s.Message != "" {
		return errors.New(s.Message)
	}
	return fmt.Errorf("%s: %s", a.Response.Status, bytes.TrimSpace(body))
}

func (a Answer) close() {
	if a.Conn == nil && a.Response != nil {
		a.Response.Body.Close()
	}
}

// isForbidden tells an authorizer's refusal, asked by a request or by a review.
func isForbidden(a Answer, err error) bool {
	var status apierrors.APIStatus
	if err != nil {
		return errors.As(err, &status) && status.Status().Code == http.StatusForbidden
	}
	return a.Conn == nil && a.Response != nil && a.Response.StatusCode == http.StatusForbidden && !hasNoBody(a.Response)
}

// describeAnswer is an answer in short.
func describeAnswer(a Answer, err error) string {
	switch {
	case isCut(err):
		return "the connection was cut"
	case err != nil:
		return "a wrong 101"
	}
	return fmt.Sprintf("%d %s", a.Response.StatusCode, http.StatusText(a.Response.StatusCode))
}

// isCut tells whether a connection was made and ended without an answer, as some
// load balancers refuse what they do not know.
func isCut(err error) bool {
	if !errors.As(err, new(*unansweredError)) {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// isProxyRefusal knows how something between edge and the API server refuses an
// upgrade: it takes the Upgrade off, answers it as a plain request, or forbids it
// without a word, as Envoy does (and wsstream, of a subprotocol). An API server's
// refusal is a Status, a kubelet's is text.
func isProxyRefusal(resp *http.Response) bool {
	switch code := resp.StatusCode; code {
	case http.StatusBadRequest:
		return IsUpgradeRequired(resp)
	case http.StatusForbidden:
		return hasNoBody(resp)
	case http.StatusUpgradeRequired, http.StatusNotImplemented:
		return true
	default:
		return code < http.StatusBadRequest
	}
}

// What API servers and kubelets tell a stream request without Upgrade.
const (
	upgradeRequired = "Upgrade request required"
	missingUpgrade  = "unable to upgrade: missing upgrade headers"
)

// IsUpgradeRequired knows the API server's 400 to a stream request without an
// Upgrade, and the kubelet's, where "Connection: Upgrade" was left.
func IsUpgradeRequired(resp *http.Response) bool {
	if resp.StatusCode != http.StatusBadRequest {
		return false
	}
	body := peekBody(resp, maxExplained)
	var s metav1.Status
	if json.Unmarshal(body, &s) != nil {
		s.Message = strings.TrimSpace(string(body))
	}
	return s.Message == upgradeRequired || strings.HasPrefix(s.Message, missingUpgrade)
}

// isSubprotocolRefusal knows what wsstream answers to subprotocols that are none
// of its own.
func isSubprotocolRefusal(resp *http.Response) bool {
	return resp.StatusCode == http.StatusForbidden && hasNoBody(resp)
}

func hasNoBody(resp *http.Response) bool {
	if resp.ContentLength >= 0 {
		return resp.ContentLength == 0
	}
	return len(peekBody(resp, 1)) == 0
}

const (
	maxExplained = 4 << 10         // bytes of a refusal that are looked at
	peekWait     = 5 * time.Second // for them
)

// peekBody reads the beginning of a body, and puts it back. A body that keeps
// edge waiting is cut off there.
func peekBody(resp *http.Response, most int64) []byte {
	rest := resp.Body
	late := time.AfterFunc(peekWait, func() { rest.Close() })
	defer late.Stop()
	begin, err := io.ReadAll(io.LimitReader(rest, most))
	body := io.MultiReader(bytes.NewReader(begin), rest)
	if err != nil {
		body = io.MultiReader(bytes.NewReader(begin), brokenBody{err})
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, rest}
	return begin
}

// brokenBody is what is left of a body that broke.
type brokenBody struct{ err error }

func (f brokenBody) Read([]byte) (int, error) { return 0, f.err }
