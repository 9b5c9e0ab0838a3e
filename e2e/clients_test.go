package e2e

import (
	"context"
	"slices"
	"testing"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// client is one release of a client program, such as kubectl 1.29, with the verbs (operations such
// as exec) that the compatibility matrix runs.
type client struct {
	family string // name of the program, such as "kubectl"
	// release of the program, such as "1.29"; empty: the release that the machine has
	release string
	how     string // special setup that the client needs, such as `edge connect`; empty: none
	verbs   []verb
	// a function that returns true for a verb (an operation such as exec) for which the client
	// supports only SPDY; nil: there is no such verb
	spdy func(verb) bool
	// paths (direct, or a load balancer) on which the client runs; nil: all paths
	paths []string
	// a function that prepares the client for a trial (one client on a path to a cluster); nil: the
	// client needs only the trial's kubeconfig
	prepare func(context.Context, *trial) error
}

// matrixClients are the rows of docs/compatibility.md in their order. Two clients copy 100 MB in
// the cp test, the others 10 MB.
var matrixClients = []client{
	spdyKubectl("1.20", 10), spdyKubectl("1.24", 10), spdyKubectl("1.28", 10), spdyKubectl("1.29", 10),
	connectedKubectl("1.20", 10), connectedKubectl("1.24", 100), connectedKubectl("1.28", 10), connectedKubectl("1.29", 10),
	halfwayKubectl("1.29", 10),
	kubectl("1.31", 10), kubectl("1.33", 10), kubectl("1.35", 10), kubectl("1.36", 10), kubectl("1.37", 100),
	{family: "Python", release: "22.6", verbs: pythonVerbs},
	clientNode("1.4"), clientNode("2.0"),
	{family: "Java, OkHttp", release: "3.13", verbs: javaVerbs},
	{family: "Java, JDK WebSocket", release: "17", how: "framing only", verbs: jdkVerbs},
	webPage("Chromium", "", clients.Chromium), webPage("Firefox", "ESR", clients.Firefox),
	{family: "k9s", release: "0.50", verbs: k9sVerbs},
	{family: "helm", release: "4.3", verbs: helmVerbs},
}

// kubectl returns a kubectl that supports WebSocket: release 1.31 or later. It copies this many MB
// in the cp test.
func kubectl(release string, megabytes int) client {
	return client{family: "kubectl", release: release, verbs: kubectlVerbs(megabytes), prepare: func(_ context.Context, tr *trial) error {
		tr.k = bed.Kubectl(release, tr.file)
		return nil
	}}
}

// spdyKubectl returns a kubectl that supports only SPDY: release 1.29 or earlier. It copies this
// many MB in the cp test.
func spdyKubectl(release string, megabytes int) client {
	c := kubectl(release, megabytes)
	c.spdy = func(v verb) bool { return v.stream }
	return c
}

// halfwayKubectl returns kubectl 1.29 with its WebSocket support switched on. It uses WebSocket for
// exec, attach and cp, but SPDY for port-forward.
func halfwayKubectl(release string, megabytes int) client {
	c := kubectl(release, megabytes)
	c.how = "WebSocket"
	c.spdy = func(v verb) bool { return v.forward }
	c.prepare = func(_ context.Context, tr *trial) error {
		tr.k = bed.Kubectl(release, tr.file, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true")
		return nil
	}
	return c
}

// connectedKubectl returns a kubectl that supports only SPDY and is run by `edge connect`, which
// uses WebSocket to pass a load balancer.
func connectedKubectl(release string, megabytes int) client {
	c := kubectl(release, megabytes)
	c.how = "`edge connect`"
	c.paths = []string{balanced, nginx, inPods}
	c.prepare = func(ctx context.Context, tr *trial) (err error) {
		tr.k, err = bed.Kubectl(release, tr.file).ThroughConnect(ctx)
		return err
	}
	return c
}

// webPage returns a web page in a browser of this kind.
func webPage(family, release string, kind clients.BrowserKind) client {
	return client{family: family, release: release, verbs: browserVerbs, prepare: func(_ context.Context, tr *trial) error {
		tr.browser = browsers[kind]
		return nil
	}}
}

// clientNode returns a release of the official JavaScript client.
func clientNode(release string) client {
	return client{family: "client-node", release: release, verbs: jsVerbs, prepare: func(_ context.Context, tr *trial) error {
		tr.node = bed.ClientNode(release, tr.file)
		return nil
	}}
}

func (c client) name() string {
	name := c.family
	if c.release != "" {
		name += " " + c.release
	}
	if c.how != "" {
		name += ", " + c.how
	}
	return name
}

// refused returns true if a verb (an operation such as exec) cannot work on a path, because the
// client supports only SPDY for it and a load balancer is on the path. edge must then send the
// client an explanation.
func (c client) refused(v verb, path string) bool {
	return path != direct && c.spdy != nil && c.spdy(v)
}

func (c client) takes(path string) bool { return c.paths == nil || slices.Contains(c.paths, path) }

// place is where the matrix runs a client: a cluster, and a path (direct, or a load balancer) to
// it.
type place struct {
	cluster cluster.Kind
	path    string
}

// places are the pairs of cluster and path that the matrix tests. Each entry differs from the entry
// before it in the cluster and in the path.
var places = []place{
	{cluster.New, direct}, {cluster.Old, balanced}, {cluster.New, nginx}, {cluster.Old, inPods},
	{cluster.New, balanced}, {cluster.Old, direct}, {cluster.New, inPods}, {cluster.Old, nginx},
}

// clientsAt returns those of some clients that run at each place (a cluster and a path to it). If
// whole is true, every client runs at all places that are possible for it. Otherwise, for `make test`, each
// client runs at two places. To find them, client number i searches the list places from entry i
// on: it takes the first place that is possible for it, and then the next one with another cluster
// and another path.
func clientsAt(some []client, whole bool) map[place][]client {
	at := map[place][]client{}
	for i, c := range some {
		var has []place
		for n := range places {
			p := places[(i+n)%len(places)]
			second := len(has) == 1 && p.cluster != has[0].cluster && p.path != has[0].path
			if c.takes(p.path) && (whole || len(has) == 0 || second) {
				has = append(has, p)
				at[p] = append(at[p], c)
			}
		}
	}
	return at
}

// TestPartOfMatrix checks the part of the matrix that `make test` runs. Each client must run on
// both clusters and on two paths. Behind each load balancer there must be clients that get edge's
// explanation, clients that use `edge connect`, and clients that work directly.
func TestPartOfMatrix(t *testing.T) {
	at := clientsAt(matrixClients, false)
	for _, c := range matrixClients {
		clusters, ways := map[cluster.Kind]bool{}, map[string]bool{}
		for p, there := range at {
			if slices.ContainsFunc(there, func(other client) bool { return other.name() == c.name() }) {
				clusters[p.cluster], ways[p.path] = true, true
			}
		}
		if len(clusters) != 2 || len(ways) != 2 {
			t.Errorf("%s: on clusters %v, paths %v", c.name(), clusters, ways)
		}
	}
	for _, path := range []string{balanced, nginx, inPods} {
		kinds := map[string]bool{}
		for _, c := range slices.Concat(at[place{cluster.New, path}], at[place{cluster.Old, path}]) {
			switch {
			case c.refused(verb{stream: true}, path):
				kinds["error with advice"] = true
			case c.paths != nil:
				kinds["edge connect"] = true
			default:
				kinds["works directly"] = true
			}
		}
		if len(kinds) != 3 {
			t.Errorf("%s has only %v", path, kinds)
		}
	}
}
