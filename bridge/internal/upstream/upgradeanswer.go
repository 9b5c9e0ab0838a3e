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
	"edge/bridge/internal/roundtrip"
)

// upgradeAnswer is the timeout of a 101: a container may have to start first.
const upgradeAnswer = 60 * time.Second

// An Answer is the answer to an upgrade request. It has either Conn, a connection that speaks
// Offer, or a refusal in Response, whose body the caller closes.
type Answer struct {
	Offer    negotiate.Offer
	Conn     net.Conn
	Response *http.Response
}

// Refusal returns the reason of the refusal as an error, and closes the response's body.
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

// MayHaveBegun reports whether the API server may already run the command although the exec's
// upgrade failed with err. Over WebSocket the API server opens the container runtime's streams by
// itself, right after its 101. Over SPDY edge opens them, and has not done so.
func (a Answer) MayHaveBegun(err error) bool {
	isLost := errors.Is(err, negotiate.ErrBegun) || errors.Is(err, roundtrip.ErrLost)
	return isLost && a.Offer.Protocol == negotiate.WebSocket
}

// Ended returns an answer whose connection upstream has already closed.
func (a Answer) Ended() Answer {
	conn, far := net.Pipe()
	far.Close()
	return Answer{Offer: a.Offer, Conn: conn, Response: &http.Response{Header: http.Header{}}}
}

// isForbidden reports whether an authorizer refused the upgrade request, or edge's access review
// for it.
func isForbidden(a Answer, err error) bool {
	var status apierrors.APIStatus
	if err != nil {
		return errors.As(err, &status) && status.Status().Code == http.StatusForbidden
	}
	return a.Conn == nil && a.Response != nil && a.Response.StatusCode == http.StatusForbidden && !hasNoBody(a.Response)
}

// describeAnswer returns a short description of a failed attempt to get an upgrade.
func describeAnswer(a Answer, err error) string {
	switch {
	case isCut(err):
		return "the connection was closed without an answer"
	case err != nil:
		return "an invalid 101 response"
	}
	return fmt.Sprintf("%d %s", a.Response.StatusCode, http.StatusText(a.Response.StatusCode))
}

// isCut reports whether err means that the connection of an upgrade request was opened, and ended
// without an answer. Some load balancers refuse an unknown upgrade in this way.
func isCut(err error) bool {
	if !errors.As(err, new(*unansweredError)) {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// isProxyRefusal reports whether a proxy between edge and the API server refused the upgrade. A
// proxy may remove the Upgrade header, so that the API server answers with a 400. It may answer the
// request as a plain one, or with a 426, a 501 or a 403 without a body. Envoy sends such a 403. So
// does Kubernetes' package wsstream, for an unknown subprotocol. All other refusals come from an
// API server, with a Status, or from a kubelet, with text.
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

// The messages with which API servers and kubelets answer a stream request that has no Upgrade
// header.
const (
	upgradeRequired = "Upgrade request required"
	missingUpgrade  = "unable to upgrade: missing upgrade headers"
)

// IsUpgradeRequired reports whether resp is the 400 for a stream request that has no Upgrade
// header. The API server sends this 400. If a proxy has removed the Upgrade header but not
// "Connection: Upgrade", the kubelet may send it instead.
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

// isSubprotocolRefusal reports whether Kubernetes' package wsstream refused the upgrade, because it
// supports none of the subprotocols that edge offered.
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
	maxExplained = 4 << 10         // bytes of a refusal's body that edge reads
	peekWait     = 5 * time.Second // timeout for reading a refusal's body
)

// peekBody returns the first bytes of a response's body, at most as many as the parameter most, and
// makes the body readable from its beginning again. After peekWait it closes the body.
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

// brokenBody is the rest of a body whose reading failed with err.
type brokenBody struct{ err error }

func (f brokenBody) Read([]byte) (int, error) { return 0, f.err }
