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

// explainLostUpgrade is the route of a stream's request that has no Upgrade. Of the API server's
// answers, the 400 that complains about that becomes what edge has to say, and nothing
// else: a 403 or 404 to the same request stays what it is. kubectl tries over SPDY what
// was refused to it over WebSocket, for whatever reason: where edge remembers how, it
// says that again, and explains otherwise.
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
		if before := (*cachedRefusal)(nil); errors.As(err, &before) {
			before.write(w, r)
			return
		}
		route.ErrorHandler(w, r, err)
	}
	return &s
}

// lostUpgradeMessage says why a stream did not begin, and the command that works. record
// is the Audit-ID, if there is one.
func lostUpgradeMessage(t negotiate.Target, r *http.Request, record string) string {
	begin := fmt.Sprintf("edge: this %s arrived without its Upgrade header: a load balancer or proxy between you and edge does not carry SPDY", t.Verb)
	command := "works as\n\n    " + connectCommand(t, r) + "\n\nwhere edge is the program of that name, on your machine; a --kubeconfig goes before the --."
	since := firstWebSocket(t)
	if minor, ok := kubectlMinor(r.UserAgent()); ok && minor < since {
		help := fmt.Sprintf("1.%d", since)
		if t.Verb != negotiate.VerbPortForward {
			help += " (1.29 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)"
		}
		return fmt.Sprintf("%s, the protocol that this client speaks. It %s kubectl needs no help since release %s", begin, command, help)
	}
	if len(record) > maxShown {
		record = ""
	}
	if record != "" {
		record = ". The Audit-ID of this request is " + record
	}
	return fmt.Sprintf("%s. Either the client asked over WebSocket first, as kubectl does since release 1.%d, and was refused, and this is its second try: "+
		"this replica of edge does not know the reason. Try again, with kubectl and -v=4, which shows it. "+
		"Or the client speaks nothing but SPDY. Then it %s Whoever runs edge finds both requests in its access log%s", begin, since, command, record)
}

// firstWebSocket is the minor release of kubectl that first asks for a target over
// WebSocket without being told to.
func firstWebSocket(t negotiate.Target) int {
	if t.Verb == negotiate.VerbPortForward {
		return 31
	}
	return 30
}

// kubectlMinor reads the y of kubectl's v1.y.z out of its user agent.
func kubectlMinor(agent string) (minor int, ok bool) {
	if !strings.HasPrefix(agent, "kubectl") { // kubectl/, and kubectl.exe/ on Windows
		return 0, false
	}
	_, version, _ := strings.Cut(agent, "/v1.")
	digits, _, _ := strings.Cut(version, ".")
	minor, err := strconv.Atoi(digits)
	return minor, err == nil
}

// maxShown bounds, in bytes, a command that is shown whole.
const maxShown = 300

// connectCommand is what to type in place of what was typed.
func connectCommand(t negotiate.Target, r *http.Request) string {
	const connect = "edge connect -- "
	if !strings.HasPrefix(r.UserAgent(), "kubectl") { // kubectl/, and kubectl.exe/ on Windows
		return connect + "COMMAND"
	}
	kubectl := kubectlCommand(t, r.Header.Get("Kubectl-Command"), r.URL.Query())
	if len(kubectl) > maxShown || strings.ContainsFunc(kubectl, func(r rune) bool { return r < ' ' || r > '~' }) {
		return connect + "kubectl ..."
	}
	return connect + kubectl
}

// kubectlCommand reads the command line out of a request; verb is what kubectl
// says of itself, since 1.22. Files and ports are not told; cp is an exec of tar.
func kubectlCommand(t negotiate.Target, verb string, query url.Values) string {
	namespace, pod := " -n "+shellWord(t.Namespace), shellWord(t.Pod)
	flags := namespace
	for _, flag := range []string{"stdin", "tty"} {
		if negotiate.QueryBool(query, flag) {
			flags += " --" + flag
		}
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
	command := "kubectl exec" + flags + " " + pod + " --"
	for _, word := range query["command"] {
		command += " " + shellWord(word)
	}
	return command
}

// shellWord quotes for POSIX shells what is not plain.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
