package negotiate

import (
	"net/url"
	"strings"
	"testing"

	"edge/streams"
)

func TestParseTarget(t *testing.T) {
	exec := Target{Verb: VerbExec, Namespace: "ns", Pod: "p"}
	byNode := func(verb, name string) Target {
		return Target{Verb: verb, Namespace: "ns", Pod: "p", Proxied: "nodes", proxy: name}
	}
	byPod := func(verb, name string) Target {
		return Target{Verb: verb, Namespace: "ns", Pod: "p", Proxied: "pods", proxy: name, proxyNamespace: "host"}
	}
	for path, want := range map[string]struct {
		Target
		isDisguised bool
	}{
		"/api/v1/namespaces/ns/pods/p/exec":           {exec, false},
		"/api/v1/namespaces/ns/pods/p/attach":         {Target{Verb: VerbAttach, Namespace: "ns", Pod: "p"}, false},
		"/api/v1/namespaces/ns/pods/p/portforward":    {Target{Verb: VerbPortForward, Namespace: "ns", Pod: "p"}, false},
		"/api/v1/namespaces/ns/pods/p/exec/":          {Target{}, true},
		"/api/v1/namespaces/ns/pods/%70/exec":         {Target{}, true},
		"/api/v1/namespaces/ns/pods/p%2Fexec":         {Target{}, true},
		"/api/v1//namespaces/ns/pods/p/exec":          {Target{}, true},
		"//api/v1/namespaces/ns/pods/p/exec":          {Target{}, true},
		"/api/v1/namespaces/ns/pods/q/../p/exec":      {Target{}, true},
		"/api/v1/namespaces/ns/pods/q/%2e%2e/p/exec":  {Target{}, true},
		"/api/v1/namespaces/ns/pods/./exec":           {Target{}, false},
		"/api/v1/namespaces/ns/pods/p":                {Target{}, false},
		"/api/v1/namespaces/ns/pods/p/log":            {Target{}, false},
		"/api/v1/namespaces/ns/pods/p/proxy/exec":     {Target{}, false},
		"/api/v1/namespaces/ns/services/p/exec":       {Target{}, false},
		"/apis/x/v1/namespaces/ns/pods/p/exec":        {Target{}, false},
		"/API/v1/namespaces/ns/pods/p/exec":           {Target{}, false},
		"/api/v1/namespaces/ns/pods/p/EXEC":           {Target{}, false},
		"/api/v1/namespaces/ns/pods/a/b/exec":         {Target{}, false},
		"/api/v1/namespaces/%25/pods/p/exec":          {Target{}, true},
		"/api/v1/namespaces/ns/pods/%25/exec":         {Target{}, true},
		"/prefix/api/v1/namespaces/ns/pods/p/exec":    {Target{}, false},
		"/api/v1/namespaces/ns/pods/p/exec/../attach": {Target{}, true},

		"/api/v1/nodes/n/proxy/exec/ns/p/c":                              {byNode("exec", "n"), false},
		"/api/v1/nodes/n:10250/proxy/exec/ns/p/c":                        {byNode("exec", "n:10250"), false},
		"/api/v1/nodes/https:n:10250/proxy/exec/ns/p/c":                  {byNode("exec", "https:n:10250"), false},
		"/api/v1/nodes/n/proxy/exec/ns/p/uid/c":                          {byNode("exec", "n"), false},
		"/api/v1/nodes/n/proxy/attach/ns/p/c":                            {byNode("attach", "n"), false},
		"/api/v1/nodes/n/proxy/attach/ns/p/uid/c":                        {byNode("attach", "n"), false},
		"/api/v1/nodes/n/proxy/run/ns/p/c":                               {byNode("run", "n"), false},
		"/api/v1/nodes/n/proxy/run/ns/p/uid/c":                           {byNode("run", "n"), false},
		"/api/v1/nodes/n/proxy/portForward/ns/p":                         {byNode("portForward", "n"), false},
		"/api/v1/nodes/n/proxy/portForward/ns/p/uid":                     {byNode("portForward", "n"), false},
		"/api/v1/namespaces/host/pods/https:k:10250/proxy/exec/ns/p/c":   {byPod("exec", "https:k:10250"), false},
		"/api/v1/namespaces/host/pods/k/proxy/portForward/ns/p":          {byPod("portForward", "k"), false},
		"/api/v1/namespaces/host/pods/k/proxy/attach/ns/p/c":             {byPod("attach", "k"), false},
		"/api/v1/nodes/n/proxy/exec/ns/p/c/":                             {Target{}, true},
		"/api/v1/nodes/n/proxy/exec/ns/p//c":                             {Target{}, true},
		"/api/v1/nodes/n/proxy//exec/ns/p/c":                             {Target{}, true},
		"/api/v1/nodes/n/proxy/%65xec/ns/p/c":                            {Target{}, true},
		"/api/v1/nodes/n/proxy/exec%2Fns%2Fp%2Fc":                        {Target{}, true},
		"/api/v1/nodes/n/proxy%2Fexec/ns/p/c":                            {Target{}, true},
		"/api/v1/nodes/n%3A10250/proxy/exec/ns/p/c":                      {Target{}, true},
		"/api/v1/nodes/n/proxy/exec/ns/p/%25/c":                          {Target{}, true}, // the kubelet does not check the uid
		"/api/v1/nodes/n/proxy/logs/../exec/ns/p/c":                      {Target{}, true},
		"/api/v1/nodes/n/proxy/%2e/exec/ns/p/c":                          {Target{}, true},
		"/api/v1/namespaces/host/pods/k/proxy/exec/ns/%70/c":             {Target{}, true},
		"/api/v1/namespaces/host/pods/k/proxy/portForward/ns//p":         {Target{}, true},
		"/api/v1/nodes/n/proxy":                                          {Target{}, false},
		"/api/v1/nodes/n/proxy/":                                         {Target{}, false},
		"/api/v1/nodes/n/proxy/exec":                                     {Target{}, false},
		"/api/v1/nodes/n/proxy/exec/ns/p":                                {Target{}, false},
		"/api/v1/nodes/n/proxy/exec/ns/p/uid/c/more":                     {Target{}, false},
		"/api/v1/nodes/n/proxy/portForward/ns":                           {Target{}, false},
		"/api/v1/nodes/n/proxy/portForward/ns/p/uid/more":                {Target{}, false},
		"/api/v1/nodes/n/proxy/portforward/ns/p":                         {Target{}, false}, // the kubelet's paths are case-sensitive
		"/api/v1/nodes/n/proxy/Exec/ns/p/c":                              {Target{}, false},
		"/api/v1/nodes/n/proxy/containerLogs/ns/p/c":                     {Target{}, false},
		"/api/v1/nodes/n/proxy/cri/exec/token":                           {Target{}, false}, // kubelets since 1.24 do not have this path
		"/api/v1/nodes/n/exec/ns/p/c":                                    {Target{}, false},
		"/api/v1/proxy/nodes/n/exec/ns/p/c":                              {Target{}, false}, // API servers since 1.10 do not have this path
		"/api/v1/namespaces/ns/nodes/n/proxy/exec/ns/p/c":                {Target{}, false},
		"/api/v1/namespaces/ns/services/https:s:10250/proxy/exec/ns/p/c": {Target{}, false},
	} {
		u, err := url.Parse(path)
		if strings.HasPrefix(path, "//") {
			u, err = url.ParseRequestURI("https://h" + path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := ParseTarget(u); got != want.Target {
			t.Errorf("%s: %+v, want %+v", path, got, want.Target)
		}
		if got := isDisguised(u); got != want.isDisguised {
			t.Errorf("%s: disguised %v, want %v", path, got, want.isDisguised)
		}
	}
}

func TestStreamSet(t *testing.T) {
	for query, want := range map[string]streams.Set{
		"":                          {},
		"stdin=1&stdout=true":       {Stdin: true, Stdout: true},
		"stdin=&stdout=yes":         {Stdin: true, Stdout: true},
		"stdin=0&stdout=FALSE":      {},
		"stdin=false&stdin=true":    {},
		"stdout=1&stderr=1":         {Stdout: true, Stderr: true},
		"stdout=1&stderr=1&tty=1":   {Stdout: true, Terminal: true},
		"stdout=1&stderr=1&tty=0":   {Stdout: true, Stderr: true},
		"STDOUT=1&command=stdin%3D": {},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := streamSet(values); got != want {
			t.Errorf("%q: %+v, want %+v", query, got, want)
		}
	}
}
