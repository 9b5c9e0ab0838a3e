package bridge

import (
	"net/url"
	"strings"
	"testing"

	"edge/streams/spdy"
)

func TestParseTarget(t *testing.T) {
	exec := target{verb: verbExec, namespace: "ns", pod: "p"}
	byNode := func(verb, name string) target {
		return target{verb: verb, namespace: "ns", pod: "p", proxied: "nodes", proxy: name}
	}
	byPod := func(verb, name string) target {
		return target{verb: verb, namespace: "ns", pod: "p", proxied: "pods", proxy: name, proxyNamespace: "host"}
	}
	for path, want := range map[string]struct {
		target
		disguised bool
	}{
		"/api/v1/namespaces/ns/pods/p/exec":           {exec, false},
		"/api/v1/namespaces/ns/pods/p/attach":         {target{verb: verbAttach, namespace: "ns", pod: "p"}, false},
		"/api/v1/namespaces/ns/pods/p/portforward":    {target{verb: verbPortForward, namespace: "ns", pod: "p"}, false},
		"/api/v1/namespaces/ns/pods/p/exec/":          {target{}, true},
		"/api/v1/namespaces/ns/pods/%70/exec":         {target{}, true},
		"/api/v1/namespaces/ns/pods/p%2Fexec":         {target{}, true},
		"/api/v1//namespaces/ns/pods/p/exec":          {target{}, true},
		"//api/v1/namespaces/ns/pods/p/exec":          {target{}, true},
		"/api/v1/namespaces/ns/pods/q/../p/exec":      {target{}, true},
		"/api/v1/namespaces/ns/pods/q/%2e%2e/p/exec":  {target{}, true},
		"/api/v1/namespaces/ns/pods/./exec":           {target{}, false},
		"/api/v1/namespaces/ns/pods/p":                {target{}, false},
		"/api/v1/namespaces/ns/pods/p/log":            {target{}, false},
		"/api/v1/namespaces/ns/pods/p/proxy/exec":     {target{}, false},
		"/api/v1/namespaces/ns/services/p/exec":       {target{}, false},
		"/apis/x/v1/namespaces/ns/pods/p/exec":        {target{}, false},
		"/API/v1/namespaces/ns/pods/p/exec":           {target{}, false},
		"/api/v1/namespaces/ns/pods/p/EXEC":           {target{}, false},
		"/api/v1/namespaces/ns/pods/a/b/exec":         {target{}, false},
		"/api/v1/namespaces/%25/pods/p/exec":          {target{}, true},
		"/api/v1/namespaces/ns/pods/%25/exec":         {target{}, true},
		"/prefix/api/v1/namespaces/ns/pods/p/exec":    {target{}, false},
		"/api/v1/namespaces/ns/pods/p/exec/../attach": {target{}, true},

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
		"/api/v1/nodes/n/proxy/exec/ns/p/c/":                             {target{}, true},
		"/api/v1/nodes/n/proxy/exec/ns/p//c":                             {target{}, true},
		"/api/v1/nodes/n/proxy//exec/ns/p/c":                             {target{}, true},
		"/api/v1/nodes/n/proxy/%65xec/ns/p/c":                            {target{}, true},
		"/api/v1/nodes/n/proxy/exec%2Fns%2Fp%2Fc":                        {target{}, true},
		"/api/v1/nodes/n/proxy%2Fexec/ns/p/c":                            {target{}, true},
		"/api/v1/nodes/n%3A10250/proxy/exec/ns/p/c":                      {target{}, true},
		"/api/v1/nodes/n/proxy/exec/ns/p/%25/c":                          {target{}, true}, // the uid is not looked at
		"/api/v1/nodes/n/proxy/logs/../exec/ns/p/c":                      {target{}, true},
		"/api/v1/nodes/n/proxy/%2e/exec/ns/p/c":                          {target{}, true},
		"/api/v1/namespaces/host/pods/k/proxy/exec/ns/%70/c":             {target{}, true},
		"/api/v1/namespaces/host/pods/k/proxy/portForward/ns//p":         {target{}, true},
		"/api/v1/nodes/n/proxy":                                          {target{}, false},
		"/api/v1/nodes/n/proxy/":                                         {target{}, false},
		"/api/v1/nodes/n/proxy/exec":                                     {target{}, false},
		"/api/v1/nodes/n/proxy/exec/ns/p":                                {target{}, false},
		"/api/v1/nodes/n/proxy/exec/ns/p/uid/c/more":                     {target{}, false},
		"/api/v1/nodes/n/proxy/portForward/ns":                           {target{}, false},
		"/api/v1/nodes/n/proxy/portForward/ns/p/uid/more":                {target{}, false},
		"/api/v1/nodes/n/proxy/portforward/ns/p":                         {target{}, false}, // a kubelet tells cases apart
		"/api/v1/nodes/n/proxy/Exec/ns/p/c":                              {target{}, false},
		"/api/v1/nodes/n/proxy/containerLogs/ns/p/c":                     {target{}, false},
		"/api/v1/nodes/n/proxy/cri/exec/token":                           {target{}, false}, // of no kubelet since 1.24
		"/api/v1/nodes/n/exec/ns/p/c":                                    {target{}, false},
		"/api/v1/proxy/nodes/n/exec/ns/p/c":                              {target{}, false}, // of no API server since 1.10
		"/api/v1/namespaces/ns/nodes/n/proxy/exec/ns/p/c":                {target{}, false},
		"/api/v1/namespaces/ns/services/https:s:10250/proxy/exec/ns/p/c": {target{}, false},
	} {
		u, err := url.Parse(path)
		if strings.HasPrefix(path, "//") {
			u, err = url.ParseRequestURI("https://h" + path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := parseTarget(u); got != want.target {
			t.Errorf("%s: %+v, want %+v", path, got, want.target)
		}
		if got := disguised(u); got != want.disguised {
			t.Errorf("%s: disguised %v, want %v", path, got, want.disguised)
		}
	}
}

func TestStreamSet(t *testing.T) {
	for query, want := range map[string]spdy.Set{
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
