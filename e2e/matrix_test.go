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

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

var (
	wholeMatrix = flag.Bool("matrix", false, "run the whole compatibility matrix and every dialect with every scenario, not only the part that \"make test\" runs")
	nextKubectl = flag.Bool("next", false, "run only a kubectl that is not out yet, on every path to both clusters")
	updateDocs  = flag.Bool("update", false, "with -matrix: write the results to docs/compatibility.md and the README; with -conformance: to docs/conformance.md and the README")
)

// trial is one cell of the compatibility matrix: a client runs a verb (an operation such as exec)
// on a path to a cluster.
type trial struct {
	t    *testing.T
	site *site
	path string
	name string // unique among all trials, and valid as the name of a Kubernetes object
	k    *clients.Kubectl
	node *clients.ClientNode
	file string // path of the kubeconfig, for clients other than kubectl and client-node

	browser *clients.Browser // for clients that are a web page
}

// access returns the address and the token for this trial (a client on a path to a cluster).
// Clients that cannot read a kubeconfig use it.
func (tr *trial) access() cluster.Access { return tr.site.access(tr.path, tokens["alice"]) }

// verb is one operation of a client, such as exec, that the compatibility matrix tests. The error
// that run returns contains the client's whole output.
type verb struct {
	// title of the operation's column in docs/compatibility.md; the text after a comma is only in
	// test names
	name   string
	stream bool // true if the operation is exec, attach, cp or port-forward
	// true if the operation is port-forward, for which kubectl got WebSocket support later than for
	// exec
	forward bool
	// true if the operation keeps a core busy; it then waits for a slot of the channel heavy
	heavy bool
	run   func(context.Context, *trial) error
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

// TestMatrix checks that every verb (an operation such as exec) works for every client, on every
// path, on every cluster. There is one exception: a client that supports only SPDY, behind a load
// balancer, must get edge's explanation.
func TestMatrix(t *testing.T) {
	at := clientsAt(matrixClients, *wholeMatrix)
	if *nextKubectl {
		at = clientsAt([]client{kubectl(binaries.NextKubectl, 100)}, true)
	}
	forEachSite(t, func(t *testing.T, s *site) {
		seats := make(chan struct{}, clientsAtOnce)
		var running sync.WaitGroup
		for _, path := range matrixPaths {
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

// clientsAtOnce is the number of clients per cluster that run at the same time. With more clients
// the matrix is not faster, but pods start too late.
const clientsAtOnce = 4

// runVerbs runs the verbs (operations such as exec) of a client one after the other and stores the
// results.
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
					// replace the name, which is different in each cell of the matrix, so that the
					// messages of two cells are equal if only the name differs
					Message: strings.ReplaceAll(message, name, "NAME"),
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

// judge returns the result of one cell of the matrix from the client's error, and edge's
// explanation if the client printed it. If explained is true, the verb (an operation such as exec)
// must fail with a message that tells the user what to do.
func judge(err error, explained bool) (result, message string) {
	switch {
	case !explained && err == nil:
		return resultOK, ""
	case !explained:
		return err.Error(), ""
	case err == nil:
		return "the verb succeeded although the load balancer does not support SPDY", ""
	}
	message = explanation.FindString(plainLines.Replace(err.Error()))
	if message == "" {
		return "the output has no explanation with a command of `edge connect`: " + err.Error(), ""
	}
	return resultExplained, message
}

// explanation matches the message that edge sends to a client whose Upgrade header was lost on the
// path. The message contains the reason, a command that works, and which clients do not need the
// command.
var explanation = regexp.MustCompile(`edge: this [^\n]*\n\n +edge connect -- [^\n]*\n\n[^\n]*`)

// plainLines replaces the line ends of a terminal, and line ends in quoted text, by \n.
var plainLines = strings.NewReplacer("\r\n", "\n", `\r\n`, "\n", `\n`, "\n")
