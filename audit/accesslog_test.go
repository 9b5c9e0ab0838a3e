package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// handlers returns handlers for the two formats of edge's log, text and JSON, without the time.
func handlers(w io.Writer) map[string]slog.Handler {
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	return map[string]slog.Handler{"text": slog.NewTextHandler(w, o), "json": slog.NewJSONHandler(w, o)}
}

// arrived returns a request as bridge passes it to an Observer. The parameter way is the value of
// X-Forwarded-For.
func arrived(method, target string, way string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("X-Forwarded-For", way)
	return r
}

// TestDocumentedLines checks that the access log prints exactly the example lines in doc.go.
func TestDocumentedLines(t *testing.T) {
	alice := &user.DefaultInfo{Name: "oidc:alice", Groups: []string{"oidc:dev", "oidc:night shift"}, UID: "248289761001"}
	bob := impersonate.Identity{Name: "bob", Requestor: alice, Nested: true, Extra: map[string][]string{
		"originaluser.jetstack.io-user": {"oidc:alice"}, "remote-client-ip": {"203.0.113.7"},
	}}
	policy, err := impersonate.NewPolicy(impersonate.PolicyConfig{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := policy.Identity(t.Context(), alice, impersonate.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for format, scenes := range map[string][]func(bridge.Observer){
		"text": {
			func(o bridge.Observer) {
				r := arrived("POST", "/api/v1/namespaces/team/pods/web-0/exec?command=sh&command=-c&command=secret&container=app&stdout=true", "203.0.113.7, 10.0.0.9")
				r.Header.Set("User-Agent", "kubectl/v1.36.3 (linux/amd64) kubernetes/5c5b2e7")
				r.Header.Set("Audit-ID", "0f6c6a5e-3f27-4d2c-8f5e-0d3b0d2f9d11")
				seen := o.Begin(r)
				seen.Identified(r, own, nil)
				seen.Started(101)
				seen.Ended(bridge.End{Code: 101, In: 412, Out: 1024, Duration: 2 * time.Second, Stream: &bridge.Stream{
					ID: "1f0c6a2b9d3e4f58", Downstream: "websocket v5.channel.k8s.io", Upstream: "SPDY/3.1 v4.channel.k8s.io", Cause: bridge.CauseCompleted, Detail: "completed",
				}})
			},
			func(o bridge.Observer) {
				r := arrived("GET", "/api/v1/pods?limit=500", "198.51.100.4")
				r.Header.Set("Audit-ID", "5d1f7f0e-52f1-4a9f-8b0b-6a6a3f3a6c52")
				seen := o.Begin(r)
				seen.Identified(r, impersonate.Identity{}, apierrors.NewUnauthorized("Unauthorized"))
				seen.Started(401)
				seen.Ended(bridge.End{Code: 401, Refusal: bridge.ReasonCredential, Out: 157, Duration: 312 * time.Microsecond})
			},
		},
		"json": {
			func(o bridge.Observer) {
				r := arrived("GET", "/api/v1/namespaces/team/pods?watch=true", "198.51.100.4")
				r.Header.Set("User-Agent", "kubectl/v1.36.3")
				r.Header.Set("Audit-ID", "8d7f1d0c-9a68-4f6e-9d55-3c8f2a7e0b43")
				seen := o.Begin(r)
				seen.Identified(r, bob, nil)
				seen.Started(200)
				seen.Ended(bridge.End{Code: 200, Out: 70311, Duration: time.Minute, Cut: true})
			},
		},
	} {
		for _, scene := range scenes {
			var printed bytes.Buffer
			scene(NewAccessLog(slog.New(handlers(&printed)[format])))
			documented(t, printed.String())
		}
	}
}

// documented checks that doc.go shows the line, with line breaks at any position.
func documented(t *testing.T, line string) {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	solid := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n//", "\n")), "") }
	if !strings.Contains(solid(string(doc)), solid(line)) {
		t.Errorf("doc.go does not show\n%s", line)
	}
}

// TestCutText checks that text that was cut ends in "...", and that no rune is cut in two.
func TestCutText(t *testing.T) {
	for _, s := range []string{strings.Repeat("é", 200), strings.Repeat("€", 200), strings.Repeat("\U0001f600", 200), "x" + strings.Repeat("\U0001f600", 200)} {
		got := string(bounded(s, 100))
		if len(got) > 100 || len(got) < 100-len(ellipsis)-utf8.UTFMax || !strings.HasSuffix(got, ellipsis) || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	}
	if got := newList(make([]string, 1000)); len(got) != maxItems+1 || got[maxItems] != ellipsis {
		t.Errorf("%d items", len(got))
	}
}

// TestLists checks that both formats, text and JSON, log a group whose name has a comma as one
// group.
func TestLists(t *testing.T) {
	l := newList([]string{"a,system:masters", "b", "", "c d", `e"\`})
	text, _ := l.MarshalText()
	if string(text) != `"a,system:masters",b,"","c d","e\"\\"` {
		t.Errorf("%s", text)
	}
	var back []string
	if j, _ := l.MarshalJSON(); json.Unmarshal(j, &back) != nil || len(back) != 5 || back[0] != "a,system:masters" || back[4] != `e"\` {
		t.Errorf("%q", back)
	}
}

// TestExecArguments checks that the access log shows the path of a URI, and of its query only the
// parameters that the variable harmless lists.
func TestExecArguments(t *testing.T) {
	for target, want := range map[string]string{
		"/api/v1/namespaces/a/pods/p/exec?command=sh&command=-c&command=echo%20hunter2&container=c&stdin=true&tty=true": "/api/v1/namespaces/a/pods/p/exec?container=c&stdin=true&tty=true&...",
		"/api/v1/namespaces/a/pods/p/exec?command=hunter2":                                                              "/api/v1/namespaces/a/pods/p/exec?...",
		"/api/v1/namespaces/a/pods/p/exec?comman%64=hunter2&stdout=true":                                                "/api/v1/namespaces/a/pods/p/exec?stdout=true&...",
		"/api/v1/namespaces/a/services/s/proxy/login?password=hunter2":                                                  "/api/v1/namespaces/a/services/s/proxy/login?...",
		"/api/v1/pods?watch=true&labelSelector=a%3Db&limit=5":                                                           "/api/v1/pods?watch=true&labelSelector=a%3Db&limit=5",
		"/api/v1/pods?":                          "/api/v1/pods",
		"/api/v1/pods?&&":                        "/api/v1/pods",
		"/a%2Fb/%0a?limit=%0a":                   "/a%2Fb/%0a?limit=%0a",
		"/api/v1/pods?labelSelector=" + canary:   "/api/v1/pods?labelSelector=REDACTED",
		"/api/v1/secrets/x" + canary + "y/z":     "/api/v1/secrets/REDACTED/z",
		"/api/v1/secrets/%65" + canary[1:]:       "/api/v1/secrets/REDACTED",
		"/p?limit=%65" + canary[1:] + "&tty=1":   "/p?limit=REDACTED&tty=1",
		"/p?access_token=" + canary + "&limit=1": "/p?limit=1&...",
	} {
		r := httptest.NewRequest("POST", target, nil)
		if got := string(loggedURI(r.URL)); got != want {
			t.Errorf("%s\nis logged as %s\nand not as   %s", target, got, want)
		}
	}
}

// TestSource checks that the field source of the access log is the client's address, and that the
// whole chain of addresses is shown only if a trusted proxy confirmed it.
func TestSource(t *testing.T) {
	for way, want := range map[string][2]string{
		"203.0.113.7":                     {"203.0.113.7", ""},
		"203.0.113.7, 10.0.0.1, 10.0.0.2": {"203.0.113.7", "203.0.113.7, 10.0.0.1, 10.0.0.2"},
		"2001:db8::1":                     {"2001:db8::1", ""},
	} {
		var printed bytes.Buffer
		r := arrived("GET", "/", way)
		seen := NewAccessLog(slog.New(handlers(&printed)["json"])).Begin(r)
		seen.Ended(bridge.End{})
		fields, err := parseLine("json", printed.String())
		if err != nil || fields["source"] != want[0] || fields["xForwardedFor"] != want[1] {
			t.Errorf("%s: %v %v", way, fields, err)
		}
	}
}

// TestRefusalsAreTold checks that an access log line has the field refusal if edge itself wrote the
// answer, and only then.
func TestRefusalsAreTold(t *testing.T) {
	var printed bytes.Buffer
	edge := newEdge(t, newAPI(t, answer), NewAccessLog(slog.New(handlers(&printed)["json"])))
	for _, c := range []struct{ token, method, target, code, want string }{
		{"alice", "GET", "/api/v1/pods", "200", "200 "},
		{"alice", "GET", "/api/v1/pods", "403", "403 "},
		{"alice", "GET", "/api/v1/pods", "503", "503 "},
		{"", "GET", "/api/v1/pods", "200", "401 credential"},
		{"alice", "TRACE", "/api/v1/pods", "200", "405 method"},
		{"alice", "GET", "/a/../b", "200", "400 path"},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.Header.Set("X-Answer", c.code)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		printed.Reset()
		edge.ServeHTTP(httptest.NewRecorder(), r)
		f, err := parseLine("json", printed.String())
		if got := fmt.Sprintf("%s %s", f["status"], f["refusal"]); err != nil || got != c.want {
			t.Errorf("%s %s: %s, want %s: %s %v", c.method, c.target, got, c.want, printed.String(), err)
		}
	}
}

// TestAccessLogOfABridge checks that a real bridge logs one line per request, with the result.
func TestAccessLogOfABridge(t *testing.T) {
	var printed bytes.Buffer
	api := newAPI(t, answer)
	edge := newEdge(t, api, NewAccessLog(slog.New(handlers(&printed)["json"])))
	for _, c := range []struct {
		token, as, target, code, want string
	}{
		{"alice", "", "/api/v1/pods", "200", "msg:AuSuccess status:200 user:alice uid:a-1 groups:[dev ops] asUser: reason:"},
		{"alice", "carol", "/api/v1/pods", "403", "msg:AuSuccess status:403 user:alice uid:a-1 groups:[dev ops] asUser:carol reason:"},
		{"", "", "/api/v1/pods", "200", "msg:AuFail status:401 user: uid: groups: asUser: reason:Unauthorized"},
		{"bob", "", "/a/../b", "200", "msg:AuSuccess status:400 user:bob uid: groups: asUser: reason:"},
	} {
		r := httptest.NewRequest("GET", c.target, nil)
		r.Header.Set("X-Answer", c.code)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		if c.as != "" {
			r.Header.Set("Impersonate-User", c.as)
		}
		printed.Reset()
		edge.ServeHTTP(httptest.NewRecorder(), r)
		f, err := parseLine("json", printed.String())
		got := fmt.Sprintf("msg:%s status:%s user:%s uid:%s groups:%s asUser:%s reason:%s", f["msg"], f["status"], f["user"], f["uid"], f["groups"], f["asUser"], f["reason"])
		if err != nil || got != c.want || f["source"] != "192.0.2.1" || f["method"] != "GET" || f["bytesOut"] == "0" {
			t.Errorf("%s %v\n%s\nwant %s", printed.String(), err, got, c.want)
		}
	}
}
