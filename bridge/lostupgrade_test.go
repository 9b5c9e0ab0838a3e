package bridge_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestUpgradeRequired checks which answers of the API server edge replaces by its own explanation:
// only those that report a missing Upgrade header, and only on the path of a stream.
func TestUpgradeRequired(t *testing.T) {
	t.Parallel()
	const other = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"you must specify at least 1 of stdin, stdout, stderr","reason":"BadRequest","code":400}`
	for name, c := range map[string]struct {
		path string
		code int
		body string
		// explained is expected in the explanation, beside its fixed parts; "": edge must not
		// change the answer.
		explained string
	}{
		"exec":           {"exec?stdout=1", 400, upgradeRequired, "1.30"},
		"attach":         {"attach?stdout=1", 400, upgradeRequired, "1.30"},
		"port-forward":   {"portforward", 400, upgradeRequired, "1.31"},
		"plain text":     {"exec?stdout=1", 400, "Upgrade request required\n", "1.30"},
		"other 400":      {"exec", 400, other, ""},
		"forbidden":      {"exec?stdout=1", 403, strings.ReplaceAll(upgradeRequired, "400", "403"), ""},
		"not found":      {"exec?stdout=1", 404, `{"kind":"Status","code":404}`, ""},
		"another's 400":  {"log", 400, upgradeRequired, ""},
		"long other 400": {"exec", 400, strings.Repeat("x", 100_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.code, c.body) }
			w := newWorld(t, http.HandlerFunc(answer))
			resp := must(w.client(t, true).Post(w.edge.URL+"/api/v1/namespaces/default/pods/web/"+c.path, "", nil))
			body := string(must(io.ReadAll(resp.Body)))
			if resp.StatusCode != c.code {
				t.Errorf("%s, want %d", resp.Status, c.code)
			}
			if c.explained == "" {
				if body != c.body {
					t.Errorf("%.200q, want %.200q", body, c.body)
				}
				return
			}
			var s metav1.Status
			if err := json.Unmarshal([]byte(body), &s); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"load balancer", "edge connect", c.explained} {
				if !strings.Contains(s.Message, want) {
					t.Errorf("%q lacks %q", s.Message, want)
				}
			}
		})
	}
}

// TestStrandedCommand checks that the explanation for a request that lost its Upgrade header
// contains the command to type instead.
func TestStrandedCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 400, upgradeRequired) }))
	kubectl := http.Header{"User-Agent": {"kubectl/v1.24.0 (linux/amd64) kubernetes/4ce5a89"}}
	copying := http.Header{"User-Agent": kubectl["User-Agent"], "Kubectl-Command": {"kubectl cp"}}
	for _, test := range []struct {
		path, query string
		header      http.Header
		want        string
	}{
		{"exec", "command=sh&command=-c&command=echo+it%27s&stdin=true&tty=true&stdout=true&container=app", kubectl,
			`kubectl exec -n default --stdin --tty -c app web -- sh -c 'echo it'\''s'`},
		{"exec", "command=date&stdout=true", kubectl, "kubectl exec -n default web -- date"},
		{"exec", "command=tar&command=cf", copying, "kubectl cp -n default SOURCE DESTINATION"},
		{"exec", "command=tar&command=-xmf&command=-", http.Header{"User-Agent": {"kubectl.exe/v1.20.0"}}, "kubectl cp -n default SOURCE DESTINATION"},
		{"attach", "stdin=1&stdout=1", kubectl, "kubectl attach -n default --stdin web"},
		{"portforward", "", kubectl, "kubectl port-forward -n default pod/web LOCAL:REMOTE"},
		{"exec", "command=date", http.Header{"User-Agent": {"argocd/2.0"}}, "COMMAND"},
		{"exec", "command=" + url.QueryEscape("\x1b]0;x\a"), kubectl, "kubectl ..."},
		{"exec", "command=" + strings.Repeat("x", 1000), kubectl, "kubectl ..."},
	} {
		req := must(http.NewRequest("POST", w.edge.URL+"/api/v1/namespaces/default/pods/web/"+test.path+"?"+test.query, nil))
		req.Header = test.header
		resp := must(w.client(t, true).Do(req))
		var s metav1.Status
		if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := "\n\n    edge connect -- " + test.want + "\n\n"; !strings.Contains(s.Message, want) {
			t.Errorf("%s?%.100s: %q lacks %q", test.path, test.query, s.Message, want)
		}
	}
}
