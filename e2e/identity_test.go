package e2e

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed"
)

// identityHeader is what the API server must be told about alice, and nothing else that says who somebody is. It adds
// system:authenticated by itself.
var identityHeader = http.Header{
	"Impersonate-User":  {testbed.UsernamePrefix + "alice"},
	"Impersonate-Group": {testbed.GroupsPrefix + "dev"},
	"X-Forwarded-For":   {"127.0.0.1"},
}

// ask is one way to make a request, with further head lines.
type ask struct {
	name string
	code int // of an answer without anything forged
	do   func(t *testing.T, to testbed.Access, lines ...string) answer
	// upstream is the whole head that the API server sees, without identity.
	upstream http.Header
}

func http1(method, uri string, own []string) func(*testing.T, testbed.Access, ...string) answer {
	return func(t *testing.T, to testbed.Access, lines ...string) answer {
		return raw(t.Context(), t, to, method, uri, slices.Concat([]string{"User-Agent: test"}, own, lines)...)
	}
}

// upgraded is what the API server sees of any stream.
func upgraded(subprotocol string) http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "Content-Length": {"0"}, "User-Agent": {"test"},
		"X-Stream-Protocol-Version": {subprotocol},
	}
}

var asks = []ask{
	{
		"REST over HTTP/1.1", 200, http1("GET", podsURI, []string{askJSON}),
		http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}},
	},
	{"exec over SPDY", 101, http1("POST", execURI, askSPDY), upgraded("v4.channel.k8s.io")},
	{"exec over WebSocket v5", 101, http1("GET", execURI, askWebSocket("v5.channel.k8s.io")), upgraded("v4.channel.k8s.io")},
	{"exec over WebSocket v4", 101, http1("GET", execURI, askWebSocket("v4.channel.k8s.io")), upgraded("v4.channel.k8s.io")},
	{
		"port-forward over a tunnel", 101, http1("GET", portForwardURI, askWebSocket("SPDY/3.1+portforward.k8s.io")),
		upgraded("portforward.k8s.io"),
	},
}

// TestIdentity looks at all that reaches the API server.
//
// A forged header is refused, and what is refused does not arrive. Naming edge's own headers in Connection, which makes
// them hop-by-hop, changes nothing (RFC 9110, section 7.6.1).
func TestIdentity(t *testing.T) {
	t.Parallel()
	recorder, err := bed.StartRecorder(t.Context(), sites[testbed.New].cluster)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := bed.StartEdge(t.Context(), testbed.EdgeOptions{Cluster: sites[testbed.New].cluster, Issuer: issuer, Upstream: recorder.Access()})
	if err != nil {
		t.Fatal(err)
	}
	to := edge.Access(tokens["alice"])
	connections := map[string][]string{
		"nothing":        nil,
		"one line":       {"Connection: Impersonate-User, Impersonate-Group, Authorization"},
		"many lines":     {"Connection: impersonate-user", "Connection: IMPERSONATE-GROUP", "Connection: authorization"},
		"spaces, empty":  {"Connection: , ,Impersonate-User ,, Impersonate-Group,\t,"},
		"close and them": {"Connection: close, Impersonate-User, Impersonate-Group"},
	}
	forgeries := map[string][]string{
		"group":                     {"Impersonate-Group: system:masters"},
		"group, in Connection":      {"Impersonate-Group: system:masters", "Connection: Impersonate-Group"},
		"lower case":                {"impersonate-group: system:masters"},
		"twice":                     {"Impersonate-Group: a", "Impersonate-Group: system:masters"},
		"user":                      {"Impersonate-User: admin"},
		"user and group":            {"Impersonate-User: admin", "Impersonate-Group: system:masters"},
		"user, in Connection":       {"Impersonate-User: admin", "Connection: Impersonate-User"},
		"uid":                       {"Impersonate-Uid: 1"},
		"extra":                     {"Impersonate-Extra-Scopes: all"},
		"one that nobody knows yet": {"Impersonate-Something: else"},
	}
	for _, a := range asks { // one after the other: the recorder does not know which test it serves
		t.Run(a.name, func(t *testing.T) {
			for name, lines := range connections {
				recorder.Forget()
				// Without "nothing", an upgrade's own Connection line stands beside these.
				if got := a.do(t, to, lines...); got.code != a.code {
					t.Errorf("Connection names %s: %v, want %d", name, got, a.code)
					continue
				}
				checkHeads(t, name, recorder.Heads(), a.upstream)
			}
			for name, lines := range forgeries {
				recorder.Forget()
				got := a.do(t, to, lines...)
				if got.code != http.StatusForbidden || got.status().Code != http.StatusForbidden {
					t.Errorf("forged %s: %v, want 403 with a Status", name, got)
				}
				if heads := recorder.Heads(); len(heads) != 0 {
					t.Errorf("forged %s: reached the API server: %v", name, heads)
				}
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		recorder.Forget()
		plain := http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}}
		if got := overHTTP2(t.Context(), t, to, podsURI, plain); got.code != 200 {
			t.Fatal(got)
		}
		checkHeads(t, "nothing", recorder.Heads(), asks[0].upstream)
		recorder.Forget()
		plain.Set("Impersonate-Group", "system:masters")
		if got := overHTTP2(t.Context(), t, to, podsURI, plain); got.code != http.StatusForbidden || len(recorder.Heads()) != 0 {
			t.Errorf("forged: %v, upstream %v", got, recorder.Heads())
		}
	})
}

// checkHeads compares the only request that reached the API server, all of its head, with what it must be.
func checkHeads(t *testing.T, name string, heads []testbed.Head, rest http.Header) {
	t.Helper()
	if len(heads) != 1 {
		t.Errorf("%s: %d requests reached the API server: %v", name, len(heads), heads)
		return
	}
	got := heads[0].Header.Clone()
	if credential := got.Get("Authorization"); !strings.HasPrefix(credential, "Bearer ") || strings.Contains(credential, tokens["alice"]) {
		t.Errorf("%s: not edge's own credential upstream", name)
	}
	got.Del("Authorization")
	want := rest.Clone()
	maps.Copy(want, identityHeader)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: upstream saw\n\t%v\nwant\n\t%v", name, got, want)
	}
}
