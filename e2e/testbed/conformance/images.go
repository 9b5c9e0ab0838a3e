package conformance

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/pki"
)

// registry is the prefix of most names of images in the tests.
const registry = "registry.k8s.io/e2e-test-images/"

// Import gives the cluster's node the images of the tests' pods, under the names that the tests use.
func Import(ctx context.Context, c *cluster.Cluster, bin *binaries.Set) error {
	pair, err := c.CA.Issue("porter") // agnhost's command porter serves TLS with it
	if err != nil {
		return err
	}
	curl, err := withLibraries(ctx, bin.Curl)
	if err != nil {
		return err
	}
	for _, image := range images(bin, pair, curl) {
		if err := c.ImportImage(ctx, image); err != nil {
			return fmt.Errorf("conformance: %w", err)
		}
	}
	return nil
}

// images returns the images of the tests: of those in k8s.io/kubernetes/test/utils/image of the new
// release, the ones that can be made of agnhost, busybox, etcd and sample-apiserver.
func images(bin *binaries.Set, porter pki.KeyPair, curl map[string]string) []cluster.ContainerImage {
	agnhost := cluster.ContainerImage{
		Busybox: bin.Busybox,
		Files:   curl,
		Links:   map[string]string{"agnhost-2": "agnhost"}, // a test sets it as its command
		Texts: map[string]string{
			"localhost.crt": string(porter.Cert), "localhost.key": string(porter.Key),
			"bin/printenv": "#!/bin/sh\neval echo \\$$1\n", // Debian's busybox has none
		},
		Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"},
	}
	agnhost.Files["agnhost"] = bin.Agnhost
	busybox := cluster.ContainerImage{Busybox: bin.Busybox, Cmd: []string{"sh"}}
	web := cluster.ContainerImage{
		Busybox: bin.Busybox, Texts: map[string]string{"www/index.html": "<title>Welcome to nginx!</title>\n"},
		Cmd: []string{"httpd", "-f", "-p", "80", "-h", "/www"},
	}
	var all []cluster.ContainerImage
	add := func(image cluster.ContainerImage, names ...string) {
		for _, name := range names {
			image.Name = name
			all = append(all, image)
		}
	}
	add(agnhost, registry+"agnhost:2.66.1", registry+"agnhost:2.55")
	add(busybox, registry+"busybox:1.37.0-2")
	add(web, registry+"nginx:1.27.0-2", registry+"nginx:1.28.0-2")
	for _, pet := range []string{"kitten", "nautilus"} {
		image := agnhost
		image.Texts = map[string]string{"data.json": fmt.Sprintf("{\"image\": \"%s.jpg\"}\n", pet)}
		image.Cmd = []string{"test-webserver"}
		add(image, registry+pet+":1.8")
	}
	nonroot := busybox
	nonroot.User = "1234"
	add(nonroot, registry+"nonroot:1.5")
	add(cluster.ContainerImage{Busybox: bin.Busybox, Cmd: []string{"sleep", "2147483647"}}, "registry.k8s.io/pause:3.10.2")
	add(cluster.ContainerImage{
		Busybox: bin.Busybox, Files: map[string]string{"sample-apiserver": bin.SampleAPIServer}, Entrypoint: []string{"/sample-apiserver"},
	}, registry+"sample-apiserver:1.29.2")
	add(cluster.ContainerImage{Busybox: bin.Busybox, Files: map[string]string{"usr/local/bin/etcd": bin.Etcd}, Cmd: []string{"etcd"}}, "registry.k8s.io/etcd:3.7.0-0")
	return all
}

// withLibraries returns a program and its shared libraries, as ContainerImage.Files has them.
func withLibraries(ctx context.Context, program string) (map[string]string, error) {
	said, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("conformance: ldd %s: %w", program, err)
	}
	files := map[string]string{}
	// such as "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f...)"
	for word := range strings.FieldsSeq(program + " " + string(said)) {
		if filepath.IsAbs(word) {
			files[strings.TrimPrefix(word, "/")] = word
		}
	}
	return files, nil
}
