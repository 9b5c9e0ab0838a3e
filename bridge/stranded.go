package bridge

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What API servers and kubelets tell a stream request without Upgrade.
const (
	upgradeRequired = "Upgrade request required"
	missingUpgrade  = "unable to upgrade: missing upgrade headers"
)

// explainUpgradeRequired replaces the API server's 400 to a stream request that
// lost its Upgrade on the way to edge, and nothing else: a 403 or 404 to the same
// request stays what it is.
func (up *cluster) explainUpgradeRequired(resp *http.Response) error {
	t := targetOf(strings.TrimPrefix(resp.Request.URL.EscapedPath(), up.prefix().EscapedPath()))
	if !t.isStream() || !isUpgradeRequired(resp) {
		return nil
	}
	resp.Body.Close()
	body := encodeStatus(failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, strandedMessage(t, resp.Request)).ErrStatus)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Type", "application/json")
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.Header.Del("Content-Encoding")
	return nil
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
