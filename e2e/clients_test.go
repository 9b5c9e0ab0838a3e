package e2e

import (
	"context"
	"slices"
	"testing"

	"edge/e2e/testbed/cluster"
)

// client is one release of a client program, with the verbs that the matrix runs.
type client struct {
	family  string // "kubectl"
	release string // "1.29"; empty: the version that the machine has
	how     string // special setup that makes it work; empty: none
	verbs   []verb
	spdy    func(verb) bool                     // whether the client supports only SPDY for a verb; nil: never
	paths   []string                            // paths on which the client runs; nil: all
	prepare func(context.Context, *trial) error // prepares a trial; nil: the kubeconfig is enough
}

// matrixClients are the rows of docs/compatibility.md in their order. Two of them copy 100 MB, the
// others 10 MB.
var matrixClients = []client{
	spdyKubectl("1.20", 10), spdyKubectl("1.24", 10), spdyKubectl("1.28", 10), spdyKubectl("1.29", 10),
	connectedKubectl("1.20", 10), connectedKubectl("1.24", 100), connectedKubectl("1.28", 10), connectedKubectl("1.29", 10),
	halfwayKubectl("1.29", 10),
	kubectl("1.31", 10), kubectl("1.33", 10), kubectl("1.35", 10), kubectl("1.36", 100),
	{family: "Python", release: "22.6", verbs: pythonVerbs},
	{family: "client-node", release: "1.4", verbs: jsVerbs},
	{family: "Java, OkHttp", release: "3.13", verbs: javaVerbs},
	{family: "Java, JDK WebSocket", release: "17", how: "framing only", verbs: jdkVerbs},
	{family: "Chromium", verbs: browserVerbs},
	{family: "helm", release: "4.1", verbs: helmVerbs},
}

// kubectl returns a release that supports WebSocket: 1.31 or later.
func kubectl(release string, megabytes int) client {
	return client{family: "kubectl", release: release, verbs: kubectlVerbs(megabytes), prepare: func(_ context.Context, tr *trial) error {
		tr.k = bed.Kubectl(release, tr.file)
		return nil
	}}
}

// spdyKubectl returns a release that supports only SPDY: up to 1.29.
func spdyKubectl(release string, megabytes int) client {
	c := kubectl(release, megabytes)
	c.spdy = func(v verb) bool { return v.stream }
	return c
}

// halfwayKubectl returns release 1.29 with its WebSocket support on, which covers exec, attach and
// cp but not port-forward.
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

// connectedKubectl returns a release that supports only SPDY and runs below `edge connect` in front
// of a load balancer.
func connectedKubectl(release string, megabytes int) client {
	c := kubectl(release, megabytes)
	c.how = "`edge connect`"
	c.paths = []string{balanced, nginx}
	c.prepare = func(ctx context.Context, tr *trial) (err error) {
		tr.k, err = bed.Kubectl(release, tr.file).ThroughConnect(ctx)
		return err
	}
	return c
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

// refused returns true if a verb cannot work on a path, so that edge must explain the reason to the
// client.
func (c client) refused(v verb, path string) bool {
	return path != direct && c.spdy != nil && c.spdy(v)
}

func (c client) takes(path string) bool { return c.paths == nil || slices.Contains(c.paths, path) }

// place is a cluster and a path on which the matrix runs a client.
type place struct {
	cluster cluster.Kind
	path    string
}

// places are ordered so that neighbours differ in cluster and path.
var places = []place{
	{cluster.New, direct}, {cluster.Old, balanced}, {cluster.New, nginx},
	{cluster.Old, direct}, {cluster.New, balanced}, {cluster.Old, nginx},
}

// clientsAt returns the clients of each place. In the whole matrix, every client runs at all its
// places. For `make test`, each client has two places: the first possible one, starting at the
// client's own number, and the next one with another cluster and another path.
func clientsAt(whole bool) map[place][]client {
	at := map[place][]client{}
	for i, c := range matrixClients {
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

// TestPartOfMatrix checks that `make test` runs each client on both clusters and on two paths.
// Behind each load balancer, it must run clients that get an explanation, clients that use `edge
// connect`, and clients that work directly.
func TestPartOfMatrix(t *testing.T) {
	at := clientsAt(false)
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
	for _, path := range []string{balanced, nginx} {
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
