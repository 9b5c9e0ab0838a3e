package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"edge/e2e/testbed/run"
)

// The container images that a node has. There is no image registry: writeImages builds the images
// from busybox and inpod.
const (
	// Image is the container image of the tests' pods: a small Linux with all commands of busybox,
	// the test server e2e/cmd/inpod, /tmp, and a web page in /www.
	Image = "localhost/busybox:1"
	// pauseImage is the image of the container that keeps a pod's namespaces open. It contains the
	// same files as Image but starts another command.
	pauseImage = "localhost/pause:1"
	// Page is the content of the web page /www/index.html in Image.
	Page = "a page from inside the pod\n"
)

// ContainerImage describes a container image with one layer.
type ContainerImage struct {
	Name string
	// Busybox is the path of a busybox of this machine, which the image contains with all its
	// commands, some folders and a file of users; empty: the image has only Files.
	Busybox string
	// Files maps paths in the image, without a leading slash, to files of this machine. They are
	// readable and executable for everybody.
	Files map[string]string
	// Texts maps paths in the image, without a leading slash, to the content of files, with the same
	// rights.
	Texts map[string]string
	// Links maps paths in the image, without a leading slash, to the targets of symbolic links.
	Links      map[string]string
	Entrypoint []string
	Cmd        []string
	User       string
}

// writeImages writes the images that every node has to one archive in Docker's format, for `ctr
// image import`.
func writeImages(to, busybox, inpod string) error {
	image := ContainerImage{
		Name: Image, Busybox: busybox, Cmd: []string{"/bin/sh"},
		Files: map[string]string{"bin/inpod": inpod}, Texts: map[string]string{"www/index.html": Page},
	}
	pause := image
	pause.Name, pause.Cmd = pauseImage, []string{"/bin/sleep", "2147483647"}
	return writeArchive(to, image, pause)
}

// ImportImage makes a container image from files of this machine and imports it into the node's
// container runtime. An image of the same name that it has imported before stays.
func (c *Cluster) ImportImage(ctx context.Context, image ContainerImage) error {
	c.imageMu.Lock()
	defer c.imageMu.Unlock()
	if c.imported[image.Name] {
		return nil
	}
	archive := c.path(fileName(image.Name) + ".tar")
	if err := writeArchive(archive, image); err != nil {
		return err
	}
	defer os.Remove(archive)
	ctx, cancel := context.WithTimeout(ctx, run.StartupTime)
	defer cancel()
	said, err := exec.CommandContext(ctx, c.run.Bin.Ctr, "--address", c.path("containerd.sock"), "--namespace", "k8s.io",
		"image", "import", "--local", "--snapshotter", "native", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("testbed: import image %s: %w: %s", image.Name, err, said)
	}
	c.imported[image.Name] = true
	return nil
}

// fileName converts an image's name to the name of a file.
func fileName(image string) string { return strings.NewReplacer("/", "-", ":", "-").Replace(image) }

// writeArchive writes images to an archive in Docker's format. Images may have the same layer.
func writeArchive(to string, images ...ContainerImage) error {
	archive := newTar()
	written := map[string]bool{}
	var manifest []map[string]any
	for _, image := range images {
		layer, err := image.content()
		if err != nil {
			return fmt.Errorf("make image %s: %w", image.Name, err)
		}
		digest := sha256.Sum256(layer)
		file := hex.EncodeToString(digest[:]) + ".tar"
		if !written[file] {
			archive.file(file, layer, 0o644)
			written[file] = true
		}
		config, err := json.Marshal(map[string]any{
			"architecture": runtime.GOARCH,
			"os":           "linux",
			"config": map[string]any{
				"Cmd": image.Cmd, "Entrypoint": image.Entrypoint, "User": image.User, "Env": []string{"PATH=/bin:/usr/bin"},
			},
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest[:])}},
		})
		if err != nil {
			return err
		}
		name := fileName(image.Name) + ".json"
		archive.file(name, config, 0o644)
		manifest = append(manifest, map[string]any{"Config": name, "RepoTags": []string{image.Name}, "Layers": []string{file}})
	}
	b, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	archive.file("manifest.json", b, 0o644)
	if b, err = archive.bytes(); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// content returns the image's layer, a tar archive.
func (i ContainerImage) content() ([]byte, error) {
	t := newTar()
	if i.Busybox != "" {
		if err := t.busybox(i.Busybox); err != nil {
			return nil, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(i.Files)) {
		content, err := os.ReadFile(i.Files[path])
		if err != nil {
			return nil, err
		}
		t.file(path, content, 0o755)
	}
	for _, path := range slices.Sorted(maps.Keys(i.Texts)) {
		t.file(path, []byte(i.Texts[path]), 0o755)
	}
	for _, path := range slices.Sorted(maps.Keys(i.Links)) {
		t.symlink(path, i.Links[path])
	}
	return t.bytes()
}

// busybox adds a small Linux: busybox with all its commands, and what programs expect of a file
// system.
func (t *tarball) busybox(path string) error {
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return err
	}
	for _, dir := range []string{"dev", "proc", "sys", "root"} {
		t.dir(dir, 0o755)
	}
	t.dir("tmp", 0o1777)
	t.file("bin/busybox", program, 0o755)
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			t.symlink("bin/"+applet, "busybox")
		}
	}
	t.file("etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644)
	t.file("etc/group", []byte("root:x:0:\n"), 0o644)
	return nil
}

// tarball is a tar archive in memory. After a method has failed, the other methods do nothing, and
// bytes returns the first error.
type tarball struct {
	buf  bytes.Buffer
	w    *tar.Writer
	made map[string]bool // folders
	err  error
}

func newTar() *tarball {
	t := &tarball{made: map[string]bool{}}
	t.w = tar.NewWriter(&t.buf)
	return t
}

func (t *tarball) add(h tar.Header, content []byte) {
	if t.err != nil {
		return
	}
	h.ModTime, h.Size = time.Unix(1, 0), int64(len(content))
	if t.err = t.w.WriteHeader(&h); t.err == nil {
		_, t.err = t.w.Write(content)
	}
}

// file adds a file, and the folders above it that the archive does not have.
func (t *tarball) file(name string, content []byte, mode int64) {
	for n, c := range name {
		if c == '/' {
			t.dir(name[:n], 0o755)
		}
	}
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, content)
}

// dir adds a folder if the archive does not have it.
func (t *tarball) dir(name string, mode int64) {
	if !t.made[name] {
		t.made[name] = true
		t.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
	}
}

func (t *tarball) symlink(name, to string) {
	t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil)
}

func (t *tarball) bytes() ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	err := t.w.Close()
	return t.buf.Bytes(), err
}
