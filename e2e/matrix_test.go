package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed"
)

// trial is one client on one path to one cluster.
type trial struct {
	t    *testing.T
	site *site
	name string // unique, fit for the names of objects
	k    *testbed.Kubectl
	file string         // kubeconfig, for clients other than kubectl
	to   testbed.Access // for clients without such a file
}

// verb is one thing that a client does. Its error has all that the client said.
type verb struct {
	name   string
	stream bool // needs SPDY where the client speaks nothing else
	heavy  bool // keeps a core busy
	run    func(context.Context, *trial) error
}

var kubectlVerbs = []verb{
	{name: "get", run: getPods},
	{name: "watch", run: watchConfigMaps},
	{name: "logs -f", run: followLogs},
	{name: "exec, stdin, exit code 7", stream: true, run: execStdin},
	{name: "exec -it, resize", stream: true, run: execTerminal},
	{name: "attach", stream: true, run: attach},
	{name: "cp 100 MB up and down", stream: true, heavy: true, run: copyBothWays},
	{name: "port-forward, 20 requests", stream: true, run: portForward},
}

var pythonVerbs = []verb{
	{name: "exec, output, error output, exit code", stream: true, run: pythonExec},
	{name: "exec, 1 MB each way", stream: true, run: pythonMegabyte},
	{name: "port-forward, 1 MB each way", stream: true, run: pythonPortForward},
}

// matrixRows is how many cells the whole matrix has: two clusters, two paths.
var matrixRows = 2 * 2 * (2*len(kubectlVerbs) + len(pythonVerbs))

// TestMatrix is the main job: every verb, for every client, on every path, to every cluster.
func TestMatrix(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		for _, path := range paths {
			for _, version := range []string{"1.29", "1.35"} {
				// The one exception, for a client that speaks only SPDY: a load balancer cannot carry its streams.
				explained := path == balanced && version == "1.29"
				runVerbs(t, s, path, "kubectl "+version, kubectlVerbs, explained, func(tr *trial) {
					tr.k = s.kubectl(tr.t, path, version, "alice")
				})
			}
			runVerbs(t, s, path, "python 22.6", pythonVerbs, false, func(tr *trial) {
				tr.file = s.kubeconfig(tr.t, path, "alice")
			})
		}
	})
}

// runVerbs runs verbs one after the other, beside the other groups.
func runVerbs(t *testing.T, s *site, path, client string, verbs []verb, explained bool, prepare func(*trial)) {
	t.Run(path+"/"+client, func(t *testing.T) {
		t.Parallel()
		for _, v := range verbs {
			t.Run(v.name, func(t *testing.T) {
				tr := &trial{t: t, site: s, name: fmt.Sprintf("%s-%s-%s", s.cluster.Kind, slug(path), slug(client))}
				prepare(tr)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				if v.heavy {
					heavy <- struct{}{}
					defer func() { <-heavy }()
				}
				start := time.Now()
				err := v.run(ctx, tr)
				result := judge(err, explained && v.stream)
				table.add(string(s.cluster.Kind), path, client, v.name, result, time.Since(start))
				if result != resultOK && result != resultExplained {
					t.Error(result)
				}
			})
		}
	})
}

// judge decides what a cell says. A cell that is to be explained must fail, with edge's own words.
func judge(err error, explained bool) string {
	switch {
	case !explained && err == nil:
		return resultOK
	case !explained:
		return err.Error()
	case err == nil:
		return "passed, though the load balancer carries no SPDY"
	case !strings.Contains(err.Error(), "edge connect"):
		return "no explanation that names `edge connect`: " + err.Error()
	default:
		return resultExplained
	}
}
