package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// TestForgedForwardedFor checks which X-Forwarded-For edge sends upstream. From the last entry
// backwards, edge keeps the entries of trusted proxies and the first entry that is not a trusted
// proxy's. edge ignores the forwarding headers of all clients that are not trusted proxies, in
// every spelling and on every path.
func TestForgedForwardedFor(t *testing.T) {
	t.Parallel()
	const balancer, client = "127.0.0.8", "127.0.0.9"
	for name, c := range map[string]struct {
		trusted string
		source  string
		lines   []string
		want    string // X-Forwarded-For that the API server receives
	}{
		"nobody is trusted":            {"", balancer, []string{"X-Forwarded-For: 6.6.6.6"}, balancer},
		"a client":                     {balancer, client, []string{"X-Forwarded-For: 6.6.6.6"}, client},
		"a client, lower case":         {balancer, client, []string{"x-forwarded-for: 6.6.6.6"}, client},
		"a client that says nothing":   {balancer, client, nil, client},
		"a balancer that says nothing": {balancer, balancer, nil, balancer},
		"a balancer":                   {balancer, balancer, []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4, " + balancer},
		"a forged hop before":          {balancer, balancer, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4"}, "1.2.3.4, " + balancer},
		"a forged line before":         {balancer, balancer, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"}, "1.2.3.4, " + balancer},
		"a trusted hop between":        {balancer + ",10.0.0.0/8", balancer, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1"}, "1.2.3.4, 10.1.1.1, " + balancer},
		"a forged trusted hop":         {balancer + ",10.0.0.0/8", balancer, []string{"X-Forwarded-For: 10.9.9.9, 1.2.3.4"}, "1.2.3.4, " + balancer},
		"rubbish":                      {balancer, balancer, []string{"X-Forwarded-For: 1.2.3.4, unknown"}, balancer},
		"version 6, with a port":       {balancer, balancer, []string{"X-Forwarded-For: [2001:db8::1]:443"}, "2001:db8::1, " + balancer},
		"mapped":                       {balancer + ",10.0.0.0/8", balancer, []string{"X-Forwarded-For: 1.2.3.4, ::ffff:10.1.1.1"}, "1.2.3.4, 10.1.1.1, " + balancer},
		"named in Connection":          {balancer, client, []string{"X-Forwarded-For: 6.6.6.6", "Connection: X-Forwarded-For"}, client},
		"aliases": {balancer, balancer, []string{
			"X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6", "X-Real-Ip: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Remote-User: admin", "X-Remote-Group: system:masters",
			"X_Remote_User: admin", "X-Remote-Extra-Scopes: all", "X-Remote-Uid: 0", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-User: admin",
		}, balancer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := attack(t, cluster.New, slices.DeleteFunc([]string{"--trusted-proxies=" + c.trusted}, func(s string) bool { return c.trusted == "" })...)
			to := a.as(tokens["alice"])
			for _, r := range []struct {
				method, uri string
				lines       []string
				code        int
			}{
				{"GET", podsURI, []string{askJSON}, 200},
				{"POST", execURI, askSPDY, 101},
				{"GET", execURI, askWebSocket("v5.channel.k8s.io"), 101},
				// status code 0: the test accepts any status code, because the response comes from
				// a web server in the pod
				{"GET", podsURI + "/shell/proxy/", askWebSocket("chat"), 0},
			} {
				conn := dial(t.Context(), t, to, c.source, "http/1.1")
				resp, err := tryExchange(conn, to, r.method, r.uri, slices.Concat(r.lines, c.lines)...)
				if err != nil || r.code != 0 && resp.StatusCode != r.code {
					t.Fatal(resp, err)
				}
				conn.Close()
				heads := a.requests()
				a.recorder.Forget()
				if len(heads) != 1 || !slices.Equal(heads[0].Header["X-Forwarded-For"], []string{c.want}) {
					t.Errorf("%s: upstream saw %v, want %s", r.uri, heads, c.want)
				}
				for _, head := range heads {
					checkNoClaims(t, head)
				}
			}
		})
	}
}

// checkNoClaims checks that X-Forwarded-For is the only header in an upstream request that states
// from which address or user the request comes.
func checkNoClaims(t *testing.T, head network.Head) {
	t.Helper()
	for name := range head.Header {
		switch plain := strings.ReplaceAll(http.CanonicalHeaderKey(name), "_", "-"); {
		case name == "X-Forwarded-For":
		case strings.HasPrefix(strings.ToLower(plain), "x-forwarded"), strings.HasPrefix(strings.ToLower(plain), "x-remote"), strings.EqualFold(plain, "forwarded"), strings.EqualFold(plain, "x-real-ip"):
			t.Errorf("%s went upstream", name)
		}
	}
}
