package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

var browserVerbs = []verb{
	{name: "logs -f", run: browserLogs},
	{name: "exec, stdin, exit code 7", run: browserExec},
	{name: "exec, base64, as older consoles", run: browserBase64},
	{name: "exec, half-close after 1 MB", run: browserHalfClose},
	{name: "exec -it, resize", run: browserTerminal},
	{name: "attach", run: browserAttach},
	{name: "port-forward, 1 MB each way", run: browserPortForward},
}

// seen is what a web page in the browser observed of a WebSocket.
type seen struct {
	Opened   bool
	Protocol string // subprotocol that the server chose
	Close    int    // close code that the page received; 1006: the server sent no close frame

	// what a command printed, and the Status at the end of the session
	Stdout, Stderr, Status string
	// SHA-256, in hexadecimal, of what the page sent and what it received back
	Sent, Echoed string
}

// WebSocket subprotocols that a page offers, in addition to the subprotocol that contains its
// token.
const (
	channelsV5 = "v5.channel.k8s.io"
	channelsV4 = "v4.channel.k8s.io"
	// subprotocol without a Status: the error channel carries text
	channelsBase64 = "base64.channel.k8s.io"
	// subprotocol for logs and watches: the server sends their messages in base64
	binaryBase64 = "base64.binary.k8s.io"
)

// webSocketArgs returns the arguments that every verb (an operation) in page.js needs, and adds the
// arguments in more.
func webSocketArgs(to cluster.Access, uri, subprotocol string, more map[string]any) map[string]any {
	args := map[string]any{"url": "wss://" + host(to) + uri, "token": to.Token, "subprotocol": subprotocol}
	maps.Copy(args, more)
	return args
}

// visit makes the client's browser open the page of the test server console and run a verb of
// page.js (an operation on a WebSocket) there.
func (tr *trial) visit(ctx context.Context, verb, uri, subprotocol string, more map[string]any) (seen, error) {
	var s seen
	said, err := tr.browser.Visit(ctx, clients.Visit{Page: console.URL, Verb: verb, Args: webSocketArgs(tr.access(), uri, subprotocol, more)}, &s)
	if err == nil && s.Protocol != subprotocol {
		err = fmt.Errorf("the server chose subprotocol %q, want %q; browser console: %q", s.Protocol, subprotocol, said)
	}
	return s, err
}

// execQuery returns the URI of an exec that runs a shell script in the pod "shell". It sets each
// query parameter named in more to true.
func execQuery(script string, more ...string) string {
	query := url.Values{"command": {"sh", "-c", script}, "stdout": {"true"}}
	for _, name := range more {
		query.Set(name, "true")
	}
	return podsURI + "/shell/exec?" + query.Encode()
}

// ended returns an error unless the command ended with this exit code and this output, and the
// server closed the WebSocket with close code 1000 after the Status.
func (s seen) ended(code int, stdout, stderr string) error {
	var status metav1.Status
	err := json.Unmarshal([]byte(s.Status), &status)
	if err != nil || s.Close != 1000 || exitCode(status) != code || s.Stdout != stdout || s.Stderr != stderr {
		return fmt.Errorf("%+v; want close 1000, code %d, stdout %q, stderr %q", s, code, stdout, stderr)
	}
	return nil
}

// exitCode returns the exit code in a command's Status; -1: the Status has none.
func exitCode(s metav1.Status) int {
	if s.Status == metav1.StatusSuccess {
		return 0
	}
	if s.Details != nil {
		for _, cause := range s.Details.Causes {
			if n, err := strconv.Atoi(cause.Message); err == nil && cause.Type == "ExitCode" {
				return n
			}
		}
	}
	return -1
}

func browserExec(ctx context.Context, tr *trial) error {
	uri := execQuery("read line; echo got $line; echo to stderr >&2; exit 7", "stdin", "stderr")
	s, err := tr.visit(ctx, "talk", uri, channelsV5, map[string]any{"stdin": "from a page\n"})
	if err != nil {
		return err
	}
	return s.ended(7, "got from a page\n", "to stderr\n")
}

// browserBase64 checks an exec with the oldest subprotocol, whose error channel carries a sentence
// instead of a Status.
func browserBase64(ctx context.Context, tr *trial) error {
	uri := execQuery("read line; echo got $line; exit 7", "stdin")
	s, err := tr.visit(ctx, "talk", uri, channelsBase64, map[string]any{"stdin": "from a page\n"})
	if err == nil && (s.Close != 1000 || s.Stdout != "got from a page\n" || !strings.Contains(s.Status, "exit code 7")) {
		err = fmt.Errorf("%+v", s)
	}
	return err
}

// browserHalfClose checks that the command cat ends when the page half-closes its stdin, after cat
// has returned all bytes.
func browserHalfClose(ctx context.Context, tr *trial) error {
	uri := execQuery("cat; echo the end >&2; exit 3", "stdin", "stderr")
	s, err := tr.visit(ctx, "halfClose", uri, channelsV5, map[string]any{"size": 1 << 20})
	if err != nil {
		return err
	}
	if s.Sent != s.Echoed {
		return fmt.Errorf("%+v: the echo differs from the sent bytes", s)
	}
	return s.ended(3, "", "the end\n")
}

// browserTerminal checks the terminal's size inside the pod before and after the page resizes the
// terminal.
func browserTerminal(ctx context.Context, tr *trial) error {
	sizes := []map[string]int{{"Width": 100, "Height": 30}, {"Width": 123, "Height": 41}}
	s, err := tr.visit(ctx, "terminal", execQuery("exec sh", "stdin", "tty"), channelsV5, map[string]any{"sizes": sizes})
	if err != nil {
		return err
	}
	for _, size := range sizes {
		if text := fmt.Sprintf("the size is %d %d", size["Height"], size["Width"]); !strings.Contains(s.Stdout, text) {
			return fmt.Errorf("%+v: not %q", s, text)
		}
	}
	return s.ended(5, s.Stdout, "")
}

// browserAttach checks an attach to the main process of a pod, until that process ends.
func browserAttach(ctx context.Context, tr *trial) error {
	pod := tr.name + "-attach"
	err := tr.site.cluster.StartPod(ctx, cluster.PodOptions{Name: pod, Stdin: true, Script: "read line; echo got $line; sleep 1"})
	if err != nil {
		return err
	}
	uri := podsURI + "/" + pod + "/attach?stdin=true&stdout=true"
	s, err := tr.visit(ctx, "talk", uri, channelsV5, map[string]any{"stdin": "a line\n"})
	if err != nil {
		return err
	}
	return s.ended(0, "got a line\n", "")
}

// browserPortForward checks three forwarded connections in one WebSocket. No process listens on the
// port of the third; its failure must not end the other two.
func browserPortForward(ctx context.Context, tr *trial) error {
	var s struct {
		seen
		Ports []int    // port number that the server sends in the first message of each channel
		Page  string   // the HTTP response that the page received from the pod
		Said  []string // messages that the page received on the error channels
	}
	args := webSocketArgs(tr.access(), portForwardURI+"?ports=8080&ports=9000&ports=9999", channelsV4, map[string]any{
		"size": 1 << 20, "page": cluster.Page,
	})
	said, err := tr.browser.Visit(ctx, clients.Visit{Page: console.URL, Verb: "portForward", Args: args}, &s)
	switch {
	case err != nil:
		return err
	case s.Protocol != channelsV4 || s.Close != 1000 || !slices.Equal(s.Ports, []int{8080, 8080, 9000, 9000, 9999, 9999}):
		return fmt.Errorf("%+v; browser console: %q", s, said)
	case !strings.Contains(s.Page, "HTTP/1.1 200 OK\r\n") || s.Sent != s.Echoed:
		return fmt.Errorf("%+v: the page or the echo is wrong", s)
	case s.Said[0] != "" || s.Said[1] != "" || !strings.Contains(s.Said[2], "connection refused"):
		return fmt.Errorf("%+v: the messages on the error channels are wrong", s)
	}
	return nil
}

// browserLogs checks that a page receives log lines that are written while it follows the log.
func browserLogs(ctx context.Context, tr *trial) error {
	const lines = 4
	var s struct {
		Protocol, Text string
		// close code; 0: the WebSocket was still open when the test had read all lines
		Close int
	}
	args := webSocketArgs(tr.access(), podsURI+"/ticker/log?follow=true&tailLines=1", binaryBase64, map[string]any{"lines": lines})
	said, err := tr.browser.Visit(ctx, clients.Visit{Page: console.URL, Verb: "follow", Args: args}, &s)
	if err != nil {
		return err
	}
	var first int
	fmt.Sscanf(s.Text, "tick %d", &first)
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "tick %d\n", first+i)
	}
	if first == 0 || !strings.HasPrefix(s.Text, want.String()) || s.Close != 0 || s.Protocol != binaryBase64 {
		return fmt.Errorf("%+v, want %q; browser console: %q", s, want.String(), said)
	}
	return nil
}
