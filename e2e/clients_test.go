package e2e

import (
	"context"
	"slices"
	"testing"

	"edge/e2e/testbed/cluster"
)

// client is a program of one release, with what the matrix asks of it.
type client struct {
	family  string // "kubectl"
	release string // "1.29"; empty: whatever the machine has
	how     string // what is done so that it works; empty: nothing
	verbs   []verb
	spdy    func(verb) bool                     // it asks for SPDY and nothing else; nil: never
	paths   []string                            // nil: all
	prepare func(context.Context, *trial) error // nil: a kubeconfig is enough
}

// matrixClients are the rows of docs/compatibility.md, in their order. Two copy 100 MB, the others 10.
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

// kubectl is a release that speaks WebSocket: 1.31 and later.
func kubectl(release string, megabytes int) client {
	return client{family: "kubectl", release: release, verbs: kubectlVerbs(megabytes), prepare: func(_ context.Context, tr *trial) error {
		tr.k = bed.Kubectl(release, tr.file)
		return nil
	}}
}

// spdyKubectl is a release that speaks only SPDY: up to 1.29.
func spdyKubectl(release string, megabytes int) client {
	c := kubectl(release, megabytes)
	c.spdy = func(v verb) bool { return v.stream }
	return c
}

// halfwayKubectl is release 1.29 with its WebSocket turned on, which is for commands and not for port-forward.
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

// connectedKubectl is a release that speaks only SPDY, with `edge connect` on its side of a load balancer.
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

// refused says whether a verb cannot work on a path, and the client has to be told why.
func (c client) refused(v verb, path string) bool {
	return path != direct && c.spdy != nil && c.spdy(v)
}

func (c client) takes(path string) bool { return c.paths == nil || slices.Contains(c.paths, path) }

// place is where the matrix puts a client.
type place struct {
	cluster cluster.Kind
	path    string
}

// places are in an order in which neighbours share neither cluster nor path.
var places = []place{
	{cluster.New, direct}, {cluster.Old, balanced}, {cluster.New, nginx},
	{cluster.Old, direct}, {cluster.New, balanced}, {cluster.Old, nginx},
}

// clientsAt says who runs where: in the whole matrix everybody everywhere. For `make test` each client has two places: the first
// that it can have, beginning at its own number and going round, and the next on the other cluster and another path.
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

// TestPartOfMatrix: `make test` has each client on both clusters and two paths, and at each load balancer some that are told why
// not, some that are helped and some that need no help.
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
				kinds["told why not"] = true
			case c.paths != nil:
				kinds["helped"] = true
			default:
				kinds["needs no help"] = true
			}
		}
		if len(kinds) != 3 {
			t.Errorf("%s has only %v", path, kinds)
		}
	}
}
