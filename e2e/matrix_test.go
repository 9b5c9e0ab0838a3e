package e2e

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

var (
	wholeMatrix = flag.Bool("matrix", false, "run the whole matrix, not only the part that is in `make test`")
	updateDocs  = flag.Bool("update", false, "with -matrix: write what it found to docs/compatibility.md and the README")
)

// trial is one client on one path to one cluster.
type trial struct {
	t    *testing.T
	site *site
	path string
	name string // unique, fit for the names of objects
	k    *clients.Kubectl
	file string // kubeconfig, for clients other than kubectl
}

// access is for clients that have no kubeconfig, or one of their own.
func (tr *trial) access() cluster.Access { return tr.site.access(tr.path, tokens["alice"]) }

// verb is one thing that a client does. Its error has all that the client said.
type verb struct {
	name    string // the document's column, and after a comma what else is in it
	stream  bool   // exec, attach, cp or port-forward
	forward bool   // port-forward, which learned WebSocket last
	heavy   bool   // keeps a core busy
	run     func(context.Context, *trial) error
}

func kubectlVerbs(megabytes int) []verb {
	return []verb{
		{name: "get", run: getPods},
		{name: "watch", run: watchConfigMaps},
		{name: "logs -f", run: followLogs},
		{name: "exec, stdin, exit code 7", stream: true, run: execStdin},
		{name: "exec -it, resize", stream: true, run: execTerminal},
		{name: "attach", stream: true, run: attach},
		{name: fmt.Sprintf("cp, %d MB up and down", megabytes), stream: true, heavy: true, run: copyBothWays(megabytes)},
		{name: "port-forward, 20 requests", stream: true, forward: true, run: portForward},
	}
}

var pythonVerbs = []verb{
	{name: "exec, output, error output, exit code", stream: true, run: pythonExec},
	{name: "exec, 1 MB each way", stream: true, run: pythonMegabyte},
	{name: "port-forward, 1 MB each way", stream: true, run: pythonPortForward},
}

// TestMatrix is the main job: every verb, for every client, on every path, to every cluster. The only exception is a client that
// speaks nothing but SPDY behind a load balancer, which is told so.
func TestMatrix(t *testing.T) {
	at := clientsAt(*wholeMatrix)
	forEachSite(t, func(t *testing.T, s *site) {
		seats := make(chan struct{}, clientsAtOnce)
		var running sync.WaitGroup
		for _, path := range paths {
			for _, c := range at[place{s.cluster.Kind, path}] {
				seats <- struct{}{}
				running.Go(func() {
					defer func() { <-seats }()
					runVerbs(t, s, path, c)
				})
			}
		}
		running.Wait()
	})
}

// clientsAtOnce bounds the clients of one cluster that run at the same time. More are no faster, and start their pods too late.
const clientsAtOnce = 4

// runVerbs runs a client's verbs one after the other.
func runVerbs(t *testing.T, s *site, path string, c client) {
	t.Run(path+"/"+c.name(), func(t *testing.T) {
		for _, v := range c.verbs {
			t.Run(v.name, func(t *testing.T) {
				if v.heavy {
					heavy <- struct{}{}
					defer func() { <-heavy }()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				start := time.Now()
				name := slug(string(s.cluster.Kind) + " " + path + " " + c.name())
				err := c.try(ctx, v, &trial{t: t, site: s, path: path, name: name, file: s.kubeconfig(t, path, "alice")})
				result, message := judge(err, c.refused(v, path))
				table.add(row{
					Cluster: string(s.cluster.Kind), Path: path, Client: c.name(), Verb: v.name, Result: result,
					Message: strings.ReplaceAll(message, name, "NAME"), // the same for all
					Seconds: time.Since(start).Round(10 * time.Millisecond).Seconds(),
				})
				if result != resultOK && result != resultExplained {
					t.Error(result)
				}
			})
		}
	})
}

func (c client) try(ctx context.Context, v verb, tr *trial) error {
	if c.prepare != nil {
		if err := c.prepare(ctx, tr); err != nil {
			return err
		}
	}
	return v.run(ctx, tr)
}

// judge decides what a cell says, and which words of edge the client has shown. A cell that is to be explained must fail, with a
// message that says what to do.
func judge(err error, explained bool) (result, message string) {
	switch {
	case !explained && err == nil:
		return resultOK, ""
	case !explained:
		return err.Error(), ""
	case err == nil:
		return "passed, though the load balancer carries no SPDY", ""
	}
	message = explanation.FindString(plainLines.Replace(err.Error()))
	if message == "" {
		return "no explanation with a command of `edge connect`: " + err.Error(), ""
	}
	return resultExplained, message
}

// explanation is edge's message to a client whose Upgrade was lost: why, the command that works, and who needs none.
var explanation = regexp.MustCompile(`edge: this [^\n]*\n\n +edge connect -- [^\n]*\n\n[^\n]*`)

// plainLines undoes a terminal's line ends and those of a quoted text.
var plainLines = strings.NewReplacer("\r\n", "\n", `\r\n`, "\n", `\n`, "\n")
