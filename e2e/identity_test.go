package e2e

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// identityHeader contains the only headers about the user alice that the API server may receive
// from edge. The API server itself adds the group system:authenticated.
var identityHeader = http.Header{
	"Impersonate-User":  {testbed.UsernamePrefix + "alice"},
	"Impersonate-Group": {testbed.GroupsPrefix + "dev"},
	"X-Forwarded-For":   {"127.0.0.1"},
}

// ask is one kind of request, such as an exec over SPDY. Tests send it with further header lines.
type ask struct {
	name string
	code int // status code of the response to the request without forged headers
	do   func(t *testing.T, to cluster.Access, lines ...string) answer
	// upstream contains all headers that the API server must receive for the request, except those
	// in identityHeader.
	upstream http.Header
}

func http1(method, uri string, own []string) func(*testing.T, cluster.Access, ...string) answer {
	return func(t *testing.T, to cluster.Access, lines ...string) answer {
		return raw(t.Context(), t, to, method, uri, slices.Concat([]string{"User-Agent: test"}, own, lines)...)
	}
}

// upgraded returns the headers that the API server must receive for an exec, attach or port-forward
// with this subprotocol.
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

// checkHeads checks that exactly one request reached the API server. The request's headers must be
// those in the parameter rest, those in identityHeader, edge's own credential and an Audit-ID of
// edge, and no others.
func checkHeads(t *testing.T, name string, heads []network.Head, rest http.Header) {
	t.Helper()
	if len(heads) != 1 {
		t.Errorf("%s: %d requests reached the API server: %v", name, len(heads), heads)
		return
	}
	got := heads[0].Header.Clone()
	if credential := got.Get("Authorization"); !strings.HasPrefix(credential, "Bearer ") || strings.Contains(credential, tokens["alice"]) {
		t.Errorf("%s: the credential upstream is not edge's own", name)
	}
	got.Del("Authorization")
	if ids := got["Audit-Id"]; len(ids) != 1 || !uuidText.MatchString(ids[0]) {
		t.Errorf("%s: the Audit-ID upstream is %q, not edge's own", name, ids)
	}
	got.Del("Audit-Id")
	want := rest.Clone()
	maps.Copy(want, identityHeader)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: upstream saw\n\t%v\nwant\n\t%v", name, got, want)
	}
}
