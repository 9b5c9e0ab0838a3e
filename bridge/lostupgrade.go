package bridge

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
)

// explainLostUpgrade returns a copy of the reverse proxy route for a stream request that has no
// Upgrade header. It replaces one answer of the API server: the 400 that complains about the
// missing header. All other answers, such as a 403 or 404, pass unchanged.
//
// If the API server or edge refuses a WebSocket for any reason, kubectl tries again over SPDY, and
// a load balancer may remove the Upgrade header of that second request. If edge remembers the
// refusal of the WebSocket, it sends that refusal again. Otherwise it explains the lost header.
func (h *Handler) explainLostUpgrade(route *httputil.ReverseProxy, t negotiate.Target, key *refusalKey) *httputil.ReverseProxy {
	s := *route
	s.ModifyResponse = func(resp *http.Response) error {
		if !upstream.IsUpgradeRequired(resp) {
			return route.ModifyResponse(resp)
		}
		if before := h.refusals.recall(key); before != nil {
			return before
		}
		record := resp.Header.Get(status.HeaderAuditID)
		e := status.New(status.ReasonUpgradeRequired, http.StatusBadRequest, metav1.StatusReasonBadRequest, lostUpgradeMessage(t, resp.Request, record))
		e.AuditID = record
		return e
	}
	s.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		if before := (*cachedRefusalError)(nil); errors.As(err, &before) {
			before.write(w, r)
			return
		}
		route.ErrorHandler(w, r, err)
	}
	return &s
}

// lostUpgradeMessage returns the message for a client whose request has lost its Upgrade header. It
// explains why the stream did not begin, and shows a command that works. The parameter record is
// the Audit-ID of the request, or "".
func lostUpgradeMessage(t negotiate.Target, r *http.Request, record string) string {
	begin := fmt.Sprintf("edge: this %s request arrived without its Upgrade header: a load balancer or proxy between you and edge does not forward SPDY", t.Verb)
	command := "Run\n\n    " + connectCommand(t, r) + "\n\ninstead, where edge is the edge program on your machine; put a --kubeconfig flag before the --."
	since := firstWebSocket(t)
	if minor, ok := kubectlMinor(r.UserAgent()); ok && minor < since {
		help := fmt.Sprintf("1.%d", since)
		if t.Verb != negotiate.VerbPortForward {
			help += " (1.29 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)"
		}
		return fmt.Sprintf("%s, the protocol that this client uses. %s Since release %s, kubectl works without edge connect", begin, command, help)
	}
	if len(record) > maxShown {
		record = ""
	}
	if record != "" {
		record = ". The Audit-ID of this request is " + record
	}
	return fmt.Sprintf("%s. There are two possible causes. Either the client tried WebSocket first, as kubectl does since release 1.%d, was refused, and now tries SPDY: "+
		"this replica of edge does not know why it was refused. Try again with kubectl -v=4, which shows the reason. "+
		"Or the client supports only SPDY and needs edge connect. %s The operator of edge finds the requests in the access log%s", begin, since, command, record)
}

// firstWebSocket returns y of the first kubectl 1.y that uses WebSocket for the target by default.
func firstWebSocket(t negotiate.Target) int {
	if t.Verb == negotiate.VerbPortForward {
		return 31
	}
	return 30
}

// kubectlMinor returns the y of the version v1.y.z in the user agent of kubectl.
func kubectlMinor(agent string) (minor int, ok bool) {
	if !strings.HasPrefix(agent, "kubectl") { // kubectl/, or kubectl.exe/ on Windows
		return 0, false
	}
	_, version, _ := strings.Cut(agent, "/v1.")
	digits, _, _ := strings.Cut(version, ".")
	minor, err := strconv.Atoi(digits)
	return minor, err == nil
}

// maxShown is the maximum length, in bytes, of a command that edge shows whole in its message.
const maxShown = 300

// connectCommand returns the command, with edge connect, that the user should run instead of the
// kubectl command that failed.
func connectCommand(t negotiate.Target, r *http.Request) string {
	const connect = "edge connect -- "
	if !strings.HasPrefix(r.UserAgent(), "kubectl") { // kubectl/, or kubectl.exe/ on Windows
		return connect + "COMMAND"
	}
	kubectl := kubectlCommand(t, r.Header.Get("Kubectl-Command"), r.URL.Query())
	if len(kubectl) > maxShown || strings.ContainsFunc(kubectl, func(r rune) bool { return r < ' ' || r > '~' }) {
		return connect + "kubectl ..."
	}
	return connect + kubectl
}

// kubectlCommand reconstructs the user's command line from a request. verb is the value of the
// Kubectl-Command header, which kubectl sends since 1.22. The request does not contain the files of
// a "kubectl cp", which is an exec of tar, or the ports of a port-forward. Placeholders stand for
// these.
func kubectlCommand(t negotiate.Target, verb string, query url.Values) string {
	namespace, pod := " -n "+shellWord(t.Namespace), shellWord(t.Pod)
	flags := namespace
	if negotiate.QueryBool(query, "stdin") {
		flags += " --stdin"
	}
	if negotiate.QueryBool(query, "tty") {
		flags += " --tty"
	}
	if container := query.Get("container"); container != "" {
		flags += " -c " + shellWord(container)
	}
	switch {
	case verb == "kubectl cp", verb == "" && query.Get("command") == "tar":
		return "kubectl cp" + namespace + " SOURCE DESTINATION"
	case t.Verb == negotiate.VerbPortForward:
		return "kubectl port-forward" + namespace + " pod/" + pod + " LOCAL:REMOTE"
	case t.Verb == negotiate.VerbAttach:
		return "kubectl attach" + flags + " " + pod
	}
	command := []string{"kubectl exec" + flags, pod, "--"}
	for _, word := range query["command"] {
		command = append(command, shellWord(word))
	}
	return strings.Join(command, " ")
}

// shellWord quotes s for a POSIX shell if s contains characters that the shell might interpret.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
