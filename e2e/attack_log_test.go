package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// The largest allowed sizes of a line in edge's log and of an audit event, in bytes. edge truncates
// the parts of a request in an audit event, but never the user's name. A token of 1 MiB may contain
// a username in which every byte becomes six bytes in JSON.
const (
	mostLine  = 16 << 10
	mostEvent = 64<<10 + 6<<20
)

// textLine matches a line of the text handler of Go's package slog: key=value pairs, quoted if
// necessary.
var textLine = regexp.MustCompile(`^time=\S+ level=[A-Z]+ msg=("(\\.|[^"\\])*"|[^\s"=]+)( [^\s="]+=("(\\.|[^"\\])*"|[^\s"]*))*$`)

// everything is an audit policy that records all requests.
const everything = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"

// audited starts an edge that writes an audit log with this audit policy. file is the path of the
// audit log.
func audited(t *testing.T, kind cluster.Kind, policy string, args ...string) (a attacked, file string) {
	t.Helper()
	policyFile, file := auditFiles(t, policy)
	return attack(t, kind, append(args, "--audit-policy-file="+policyFile, "--audit-log-path="+file, "--audit-log-mode=blocking")...), file
}

// auditFiles writes an audit policy to a file. It returns the file's path and the path for an audit
// log.
func auditFiles(t *testing.T, policy string) (policyFile, log string) {
	t.Helper()
	// create the folder in bed.Dir: at the end of the run, the tests search all files in bed.Dir
	// for tokens
	dir, err := os.MkdirTemp(bed.Dir, "edge-audit-") //nolint:usetesting // Leaks searches bed.Dir
	if err != nil {
		t.Fatal(err)
	}
	policyFile = filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policyFile, []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	return policyFile, filepath.Join(dir, "audit.log")
}

// TestLogInjection checks edge's log, whatever clients send. Each request must be one well-formed
// line of limited length without control characters. Each audit event must be one line of limited
// length, in the JSON that kube-apiserver writes.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	evil := map[string]string{
		"CR LF": "a\r\nlevel=INFO msg=AuSuccess user=admin", "LF": "a\n{\"level\":\"INFO\",\"msg\":\"AuSuccess\"}", "ESC": "\x1b[2J\x1b]0;x\x07", "quotes": `a" msg="AuSuccess`,
		"backslash": `a\`, "NUL": "a\x00b", "DEL": "a\x7fb", "C1": "a\u0085b\u009bc", "separators": "a\u2028b\u2029c", "bidi": "a\u202eb\u2066c", "not UTF-8": "a\xff\xfeb", "long": strings.Repeat("l", 1<<20),
		"longest": strings.Repeat("\x01", 100<<10), "equals": "a=b c=d", "braces": `{"a":"b"}`,
	}
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			a, audit := audited(t, cluster.New, everything, "--log-format="+format)
			requests := 0
			send := func(to cluster.Access, method, uri string, lines ...string) {
				// if the status code is 0 (connection closed), 400 or 431, net/http ended the
				// request before edge's handler ran
				if code := rawOrClosed(t, to, method, uri, lines...); code != 0 && code != 400 && code != 431 {
					requests++
				}
			}
			for name, text := range evil {
				escaped := url.PathEscape(text)
				if len(escaped) > 60<<10 {
					escaped = strings.Repeat("%0d%0a", 10<<10)
				}
				to := a.as(tokens["alice"])
				for _, claim := range []string{"preferred_username", "groups", "jti"} {
					if len(text) > 30<<10 {
						text = text[:30<<10]
					}
					who := a.as(minted(t, idp, map[string]any{claim: strings.ToValidUTF8(text, "?")}))
					send(who, "GET", podsURI+"?limit=1", askJSON)
					send(who, "GET", execURI, askWebSocket("v5.channel.k8s.io")...)
				}
				send(to, "GET", "/api/v1/namespaces/demo/pods/"+escaped, askJSON)
				send(to, "GET", "/"+escaped, askJSON)
				send(to, "GET", podsURI+"?labelSelector="+escaped, askJSON)
				send(to, "POST", "/api/v1/namespaces/demo/pods/"+escaped+"/exec?command=true", askSPDY...)
				send(to, "GET", execURI+"&container="+escaped, askWebSocket("v5.channel.k8s.io")...)
				send(a.as(""), "GET", "/"+escaped, askJSON)
				for _, header := range []string{"User-Agent", "X-Forwarded-For", "Impersonate-User", "Impersonate-Something", "Audit-Id", "X-Request-Id", "Traceparent", "Origin", "Sec-WebSocket-Protocol", "Authorization", "Host"} {
					send(to, "GET", podsURI+"?limit=1", header+": "+evil[name])
					send(to, "GET", execURI, append(askWebSocket("v5.channel.k8s.io"), header+": "+evil[name])...)
				}
			}
			var lines []string
			if err := settling(t, func() error {
				lines = accessLines(t, a.Edge)
				if len(lines) < requests {
					return fmt.Errorf("%d access lines of %d requests", len(lines), requests)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			log, err := os.ReadFile(a.Process.Log)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(log)) {
				checkLine(t, format, line)
			}
			events, err := os.ReadFile(audit)
			if err != nil || len(events) == 0 {
				t.Fatal(err, len(events))
			}
			for event := range strings.Lines(string(events)) {
				if !json.Valid([]byte(event)) || len(event) > mostEvent {
					t.Errorf("not a valid audit event: %d bytes, %.300q", len(event), event)
				}
			}
		})
	}
}

// accessLines returns the lines of edge's access log.
func accessLines(t *testing.T, e *testbed.Edge) (lines []string) {
	t.Helper()
	log, err := os.ReadFile(e.Process.Log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, `"msg":"AuSuccess"`) || strings.Contains(line, `"msg":"AuFail"`) || strings.Contains(line, " msg=AuSuccess ") || strings.Contains(line, " msg=AuFail ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func checkLine(t *testing.T, format, line string) {
	t.Helper()
	if len(line) > mostLine {
		t.Errorf("a log line of %d bytes is too long: %.300q", len(line), line)
	}
	checkPrintable(t, line)
	line = strings.TrimSuffix(line, "\n")
	if format == "text" && !textLine.MatchString(line) || format == "json" && !json.Valid([]byte(line)) {
		t.Errorf("not a valid log line: %.300q", line)
	}
	var fields map[string]any
	if format == "json" && json.Unmarshal([]byte(line), &fields) == nil && fields["user"] == "admin" {
		t.Errorf("a forged log line: %s", line)
	}
	if format == "text" && strings.Contains(line, " user=admin") && !strings.Contains(line, `"`) {
		t.Errorf("a forged log line: %s", line)
	}
}

// checkPrintable checks that a line of the log contains no control character that a terminal or a
// log viewer would interpret.
func checkPrintable(t *testing.T, line string) {
	t.Helper()
	for _, r := range strings.TrimSuffix(line, "\n") {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%U in %.300q", r, line)
			return
		}
	}
}

// settling calls the function try again and again until try returns nil, for at most three minutes
// (the constant patience). It returns the last error of try.
func settling(t *testing.T, try func() error) error {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestExecArguments checks where edge writes the arguments of a command that exec runs. Audit
// events contain them if the audit policy records the request. The access log and the log lines
// about the session do not contain them.
func TestExecArguments(t *testing.T) {
	t.Parallel()
	const secret = "my-password-in-an-argument"
	policy := "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n" +
		"- {level: None, namespaces: [" + opsNamespace + "]}\n" +
		"- {level: Metadata}\n"
	a, audit := audited(t, cluster.New, policy)
	alice, bob := a.as(tokens["alice"]), a.as(tokens["bob"])
	uri := func(namespace, word string) string {
		return "/api/v1/namespaces/" + namespace + "/pods/shell/exec?command=echo&command=" + url.QueryEscape(secret+word) + "&stdout=true"
	}
	for _, ask := range []struct {
		method string
		lines  []string
	}{{"GET", askWebSocket("v5.channel.k8s.io")}, {"GET", askWebSocket("v4.channel.k8s.io")}, {"POST", askSPDY}, {"GET", []string{askJSON}}} {
		raw(t.Context(), t, alice, ask.method, uri(cluster.Namespace, "-allowed"), ask.lines...)
		raw(t.Context(), t, bob, ask.method, uri(cluster.Namespace, "-denied"), ask.lines...)
		raw(t.Context(), t, a.as(""), ask.method, uri(cluster.Namespace, "-nobody"), ask.lines...)
		raw(t.Context(), t, bob, ask.method, uri(opsNamespace, "-unrecorded"), ask.lines...)
		raw(t.Context(), t, alice, ask.method, "/api/v1/nodes/n/proxy/exec/demo/shell/main?command="+secret+"-proxied", ask.lines...)
		raw(t.Context(), t, alice, ask.method, "/api/v1/nodes/n/proxy/run/demo/shell/main?cmd="+secret+"-proxied", ask.lines...)
	}
	const asked = 24
	if err := settling(t, func() error {
		if n := len(accessLines(t, a.Edge)); n != asked {
			return fmt.Errorf("%d access lines of %d requests", n, asked)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(a.Process.Log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, secret) {
			t.Errorf("the log contains the argument: %s", line)
		}
	}
	events, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]bool{"-allowed": true, "-denied": true, "-nobody": true, "-unrecorded": false} {
		if got := strings.Contains(string(events), secret+word); got != want {
			t.Errorf("audit events contain %s: %t, want %t", word, got, want)
		}
	}
}
