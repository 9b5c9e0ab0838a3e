//go:build soak

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// badLink describes the slow network link between the client and the load balancer: 100 ms round
// trip, 20 MB/s, and small writes.
var badLink = network.LinkOptions{Latency: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Rate: 20_000_000, Slice: 3000}

// Flags for the amount of data that the test copies. Smaller values are for the development of the
// test.
var (
	badLinkBytes = flag.Int("badlink-bytes", 1<<30, "size of the file that TestSoakBadLink copies")
	badLinkFiles = flag.Int("badlink-files", 5000, "number of files in the tree that TestSoakBadLink copies")
)

const (
	badLinkRuns = 3
	badLinkTime = 10 * time.Minute // timeout of one copy; for 1 GiB, the link alone needs 54 s
)

// copier is a client that copies files to and from a pod over a bad link. A second client with a
// good connection checks the results in the pod.
type copier struct {
	client client
	site   *site
	bad    *clients.Kubectl
	good   *clients.Kubectl
	// folder in the pod; the method up copies to "up" in this folder, checks the copy and renames
	// it to "down"; the method down copies "down" back to this machine
	inside  string
	outside string // folder on this machine that receives the copies from the pod
}

// TestSoakBadLink checks `kubectl cp` over a bad link. It copies a file and a tree of files to a
// pod and back, three times each, and compares the hashes. The two clients, kubectl 1.35 and
// kubectl 1.24 with `edge connect`, run at the same time. No other test runs then, because
// otherwise the CPU could limit the rate instead of the link.
func TestSoakBadLink(t *testing.T) {
	s := sites[cluster.New]
	file, fileHash := filepath.Join(bed.Dir, "badlink-file"), patternHash(*badLinkBytes)
	if err := writePattern(file, *badLinkBytes); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(bed.Dir, "badlink-tree")
	treeBytes, err := makeTree(tree, *badLinkFiles)
	if err != nil {
		t.Fatal(err)
	}
	treeHash, err := hashTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*copier{{client: kubectl("1.35", 0)}, {client: connectedKubectl("1.24", 0)}} {
		t.Run(slug(c.client.name()), func(t *testing.T) {
			t.Parallel()
			c.setUp(t, s)
			size := fmt.Sprintf("1 file of %d MiB", *badLinkBytes>>20)
			c.run(t, size+" up", *badLinkBytes, func(ctx context.Context) error { return c.up(ctx, file, fileHash, "cat up") })
			c.run(t, size+" down", *badLinkBytes, func(ctx context.Context) error { return c.down(ctx, fileHash, hashFile) })
			size = fmt.Sprintf("%d files", *badLinkFiles)
			list := "cd up && find . -type f | sort | xargs sha256sum"
			c.run(t, size+" up", treeBytes, func(ctx context.Context) error { return c.up(ctx, tree, treeHash, list) })
			c.run(t, size+" down", treeBytes, func(ctx context.Context) error { return c.down(ctx, treeHash, hashTree) })
		})
	}
}

// setUp starts the bad link and makes the folder in the pod and the folder on this machine.
func (c *copier) setUp(t *testing.T, s *site) {
	to := s.access(balanced, tokens["alice"])
	link, err := bed.StartLink(host(to), badLink)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{t: t, site: s}
	if tr.file, err = bed.Kubeconfig(link.Through(to)); err == nil {
		err = c.client.prepare(t.Context(), tr)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.site, c.bad, c.good = s, tr.k, s.kubectl(t, direct, "1.35", "alice")
	c.inside, c.outside = "/tmp/"+slug(t.Name()), filepath.Join(bed.Dir, slug(t.Name()))
	if err := os.Mkdir(c.outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := want(c.good.Run(t.Context(), "exec", "shell", "--", "mkdir", c.inside), 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c.good.Run(ctx, "exec", "shell", "--", "rm", "-rf", c.inside)
	})
}

// run calls the function transfer badLinkRuns times and records the durations. A run that is shorter
// than the link's rate allows is an error, because that transfer did not use the link.
func (c *copier) run(t *testing.T, what string, bytes int, transfer func(context.Context) error) {
	least := time.Duration(bytes) * time.Second / time.Duration(badLink.Rate)
	t.Run(what, func(t *testing.T) {
		var took []time.Duration
		var err error
		for i := 0; i < badLinkRuns && err == nil; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), badLinkTime)
			start := time.Now()
			err = transfer(ctx)
			cancel()
			took = append(took, time.Since(start))
			if err == nil && took[i] < least {
				err = fmt.Errorf("%v, which is less than the link takes: %v", took[i], least)
			}
			t.Logf("%s, %s, run %d of %d: %.0f s, %v", what, c.client.name(), i+1, badLinkRuns, took[i].Seconds(), err)
		}
		note(t, c.site, "cp over a bad link, "+what, c.client.name(), balanced, err, took...)
	})
}

// up copies a file or a tree from this machine to the pod. Then it runs the shell command list in
// the pod; the SHA-256 of the command's output must be hash.
func (c *copier) up(ctx context.Context, from, hash, list string) error {
	if r := c.bad.Run(ctx, "cp", from, "shell:"+c.inside+"/up"); r.Code != 0 {
		return fmt.Errorf("code %d, %v: %s", r.Code, r.Err, r.Stderr)
	}
	script := fmt.Sprintf("cd %s && (%s) | sha256sum && rm -rf down && mv up down", c.inside, list)
	return want(c.good.Run(ctx, "exec", "shell", "--", "sh", "-c", script), 0, hash+"  -\n")
}

// down copies a file or tree from the pod back to this machine, and compares its hash. The last
// call of up has put the file or tree into the pod.
func (c *copier) down(ctx context.Context, hash string, hashOf func(path string) (string, error)) error {
	to := filepath.Join(c.outside, "down")
	defer os.RemoveAll(to)
	if r := c.bad.Run(ctx, "cp", "shell:"+c.inside+"/down", to); r.Code != 0 {
		return fmt.Errorf("code %d, %v: %s", r.Code, r.Err, r.Stderr)
	}
	if got, err := hashOf(to); err != nil {
		return err
	} else if got != hash {
		return errors.New("the hash differs")
	}
	return nil
}

func writePattern(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(copyPattern(f, n), f.Close())
}

// hashTree returns the SHA-256 of a list of the files in dir, sorted by name, in the format of
// sha256sum's output.
func hashTree(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	var list bytes.Buffer
	for _, path := range files {
		hash, err := hashFile(path)
		if err != nil {
			return "", err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&list, "%s  ./%s\n", hash, name)
	}
	sum := sha256.Sum256(list.Bytes())
	return hex.EncodeToString(sum[:]), nil
}
