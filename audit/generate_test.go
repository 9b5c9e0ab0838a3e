package audit

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
)

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// generate returns a function that creates the same random request each time it is called.
func generate(random *rand.Rand) func() *http.Request {
	method := pick(random, "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO")
	target := generatePath(random)
	if query := pick(random, "", "", "", "?", "?watch=true", "?watch=1", "?watch=false", "?watch=", "?watch=yes&limit=7",
		"?labelSelector=a%3Db", "?labelSelector=((", "?fieldSelector=metadata.name%3Dx", "?fieldSelector=metadata.name%3D..",
		"?fieldSelector=bad", "?fieldSelector=bad&watch=true", "?limit=5&continue=abc", "?limit=abc", "?limit=abc&watch=true",
		"?limit=abc&watch=FALSE", "?timeoutSeconds=x&watch=0&watch=1", "?command=ls&command=-l%20x&stdin=true", "?a=b;c=d&watch=true",
		"?%zz&watch=true", "?pretty&pretty=&x", "?resourceVersion=0&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&watch=true",
	); query != "" {
		target += query
	}
	header := http.Header{}
	if token := pick(random, "alice", "alice", "bob", "anonymous", "nobody", ""); token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if agent := pick(random, "", "kubectl/v1.36", strings.Repeat("agent ", 300), "\xffé\u202e"); agent != "" {
		header.Set("User-Agent", agent)
	}
	if random.IntN(4) == 0 {
		header.Set("Audit-ID", fmt.Sprint("chosen-", random.IntN(100)))
	}
	if random.IntN(4) == 0 { // a quarter of the requests have X-Forwarded-For, as from a proxy
		header.Set("X-Forwarded-For", pick(random, "203.0.113.7", "2001:db8::1", "192.0.2.9"))
	}
	if random.IntN(5) == 0 {
		header.Set("Impersonate-User", pick(random, "carol", "system:serviceaccount:ns1:robot"))
		if random.IntN(2) == 0 {
			header["Impersonate-Group"] = []string{"one", "two"}
			header["Impersonate-Extra-Reason"] = []string{"help"}
		}
	}
	header.Set("X-Answer", pick(random, "200", "200", "201", "204", "304", "404", "409", "500"))
	return func() *http.Request {
		r := httptest.NewRequest(method, target, nil)
		r.Header = header.Clone()
		return r
	}
}

func generatePath(random *rand.Rand) string {
	if random.IntN(4) == 0 {
		return pick(random, "/", "/api", "/api/", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/healthz", "/healthz/etcd",
			"/metrics", "/openapi/v3/apis/apps/v1", "/debug/pprof/profile", "/foo/bar/baz/qux", "/apiss/x/y/z", "/API/v1/pods",
			"//api/v1/pods", "/api//v1/pods", "/api/v1//pods", "/api/v1/pods/", "/api/v1/namespaces/ns1//pods", "/api/v1/namespaces/",
			"/api/v1/namespaces/a%2fb/pods", "/api/v1/pods/a%20b", "/api/v1/namespaces/ns%C3%A9/pods/%FF", "/api/v1/pods/a;b,c",
			"/api/v1/watch/pods", "/api/v1/watch/namespaces/ns1/pods/a", "/api/v1/proxy/nodes/n", "/api/v1/proxy/namespaces/ns1/pods/a/x",
			"/api/v1/namespaces/ns1/status", "/api/v1/namespaces/ns1/finalize")
	}
	path := pick(random, "/api/v1", "/apis/apps/v1", "/apis/x.example.com/v1beta1") + pick(random, "", "/namespaces/ns1", "/namespaces/ns2")
	path += "/" + pick(random, "pods", "pods", "deployments", "namespaces", "nodes", "secrets")
	if random.IntN(3) == 0 {
		return path
	}
	path += "/" + pick(random, "a", "b", "x")
	return path + pick(random, "", "", "/status", "/log", "/exec", "/attach", "/portforward", "/proxy", "/proxy/x/y", "/scale", "/eviction")
}
