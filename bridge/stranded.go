package bridge

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What API servers and kubelets tell a stream request without Upgrade.
const (
	upgradeRequired = "Upgrade request required"
	missingUpgrade  = "unable to upgrade: missing upgrade headers"
)

// stranded is the route of a stream's request that has no Upgrade. Of the API server's
// answers, the 400 that complains about that becomes edge's explanation, and nothing
// else: a 403 or 404 to the same request stays what it is.
func stranded(route *httputil.ReverseProxy, t target) *httputil.ReverseProxy {
	s := *route
	s.ModifyResponse = func(resp *http.Response) error {
		if !isUpgradeRequired(resp) {
			return route.ModifyResponse(resp)
		}
		e := failure(ReasonUpgradeRequired, http.StatusBadRequest, metav1.StatusReasonBadRequest, strandedMessage(t, resp.Request))
		e.auditID = resp.Header.Get(auditID)
		return e
	}
	return &s
}

// strandedMessage says why a stream did not begin, and the command that works.
func strandedMessage(t target, r *http.Request) string {
	since := "1.30 (1.29 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)"
	if t.verb == verbPortForward {
		since = "1.31"
	}
	return fmt.Sprintf("edge: this %s arrived without its Upgrade header: a load balancer or proxy between you and edge does not carry SPDY, "+
		"the protocol that this client speaks. It works as\n\n    %s\n\nwhere edge is the program of that name, on your machine; a --context or --kubeconfig goes before the --. "+
		"kubectl needs no help since release %s", t.verb, connectCommand(t, r), since)
}

// maxShown bounds, in bytes, a command that is shown whole.
const maxShown = 300

// connectCommand is what to type in place of what was typed.
func connectCommand(t target, r *http.Request) string {
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
func kubectlCommand(t target, verb string, query url.Values) string {
	namespace, pod := " -n "+shellWord(t.namespace), shellWord(t.pod)
	flags := namespace
	for _, flag := range []string{"stdin", "tty"} {
		if queryBool(query, flag) {
			flags += " --" + flag
		}
	}
	if container := query.Get("container"); container != "" {
		flags += " -c " + shellWord(container)
	}
	switch {
	case verb == "kubectl cp", verb == "" && query.Get("command") == "tar":
		return "kubectl cp" + namespace + " SOURCE DESTINATION"
	case t.verb == verbPortForward:
		return "kubectl port-forward" + namespace + " pod/" + pod + " LOCAL:REMOTE"
	case t.verb == verbAttach:
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
