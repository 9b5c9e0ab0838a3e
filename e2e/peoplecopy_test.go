package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// treeFiles is the number of regular files in the tree that TestPeopleCopyTree copies. The tree
// also contains links.
const treeFiles = 8000

// makeTree makes n files of up to 8 KiB in folders of a hundred files. It returns the total size of
// the files in bytes.
func makeTree(dir string, n int) (total int, err error) {
	for i := range n {
		folder := filepath.Join(dir, fmt.Sprintf("folder-%03d", i/100))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return 0, err
		}
		content := noise()[i%4096:][:i*37%8192]
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%05d", i)), content, 0o644); err != nil {
			return 0, err
		}
		total += len(content)
	}
	return total, nil
}

// makeLinks adds links to each folder of a tree: a hard link, and symbolic links to a file, to a
// folder, to a missing file, and to a file outside the tree.
func makeLinks(dir string) error {
	folders, err := filepath.Glob(filepath.Join(dir, "folder-*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "file-*"))
		if err != nil {
			return err
		}
		if err := os.Link(files[0], filepath.Join(folder, "hard")); err != nil {
			return err
		}
		for name, to := range map[string]string{"soft": filepath.Base(files[1]), "up": "../folder-000", "dangling": "nothing", "out": "/etc/passwd"} {
			if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// listTree lists the files of a tree on this machine, one line each: name, mode, and either the
// content's hash or the link's target.
func listTree(dir string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, what := strings.TrimPrefix(path, dir), ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			what, err = os.Readlink(path)
		case info.Mode().IsRegular():
			what, err = hashFile(path)
		}
		list = append(list, fmt.Sprintf("%s %s %s", name, info.Mode(), what))
		return err
	})
	return list, err
}

// listInside is a shell command that lists the files of a tree in a pod, similar to listTree. %s is
// the folder.
const listInside = `cd %s && find . | sort | xargs stat -c '%%n %%F %%a' && find . -type f | sort | xargs sha256sum && find . -type l | sort | while read l; do echo "$l $(readlink $l)"; done`

// TestPeopleCopyTree checks `kubectl cp` of a tree with links, to a pod and back. The result must
// be the same as directly at the API server.
func TestPeopleCopyTree(t *testing.T) {
	t.Parallel()
	edge, itself := people(t)
	tree := t.TempDir()
	if _, err := makeTree(tree, treeFiles); err != nil {
		t.Fatal(err)
	}
	if err := makeLinks(tree); err != nil {
		t.Fatal(err)
	}
	heavy <- struct{}{}
	defer func() { <-heavy }()
	ctx := peopleContext(t)
	inside, outside := map[string]string{}, map[string][]string{}
	said := map[string]string{}
	for _, who := range []*person{edge, itself} {
		to := "/office/" + who.way
		begin := time.Now()
		r := who.Run(ctx, "cp", tree, desk+":"+to)
		said[who.way] = fmt.Sprintf("up: %d %s%s", r.Code, r.Stdout, strings.ReplaceAll(string(r.Stderr), to, "TO"))
		t.Logf("%s: up in %v", who.way, time.Since(begin))
		list := itself.Run(ctx, "exec", desk, "--", "sh", "-c", fmt.Sprintf(listInside, to))
		if err := succeeded(list); err != nil {
			t.Fatal(err)
		}
		inside[who.way] = string(list.Stdout)
	}
	if n := strings.Count(inside["edge"], "\n"); n < 2*treeFiles || inside["edge"] != inside["itself"] {
		t.Errorf("up: %d lines; equal to the API server's: %t", n, inside["edge"] == inside["itself"])
	}
	// kubectl cp copies a hard link as a separate file. So make hard links in the pod, for the copy
	// back.
	links := itself.Run(ctx, "exec", desk, "--", "sh", "-c", `cd /office/edge && for f in folder-*; do set -- $f/file-*; ln $1 $f/harder || exit; done`)
	if err := succeeded(links); err != nil {
		t.Fatal(err)
	}
	for _, who := range []*person{edge, itself} {
		to := filepath.Join(t.TempDir(), "down")
		begin := time.Now()
		r := who.Run(ctx, "cp", desk+":/office/edge", to)
		// On a busy machine the API server itself sometimes ends the session before kubectl has
		// received the whole archive. That is no result to compare edge with.
		for try := 1; who == itself && !copied(r) && try < mostOwn; try++ {
			to = filepath.Join(t.TempDir(), "again")
			r = who.Run(ctx, "cp", desk+":/office/edge", to)
		}
		said[who.way] += fmt.Sprintf("down: %d %s%s", r.Code, r.Stdout, strings.ReplaceAll(string(r.Stderr), to, "TO"))
		t.Logf("%s: down in %v", who.way, time.Since(begin))
		var err error
		if outside[who.way], err = listTree(to); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(outside["edge"]); n < treeFiles || !slices.Equal(outside["edge"], outside["itself"]) {
		t.Errorf("down: %d entries; equal to the API server's: %t", n, slices.Equal(outside["edge"], outside["itself"]))
	}
	if said["edge"] != said["itself"] {
		// most lines are warnings, so log only the lines that differ
		t.Errorf("only through edge: %.4000q\nonly directly: %.4000q", linesMissing(said["edge"], said["itself"]), linesMissing(said["itself"], said["edge"]))
	}
}

// copied reports whether a `kubectl cp` from a pod has copied all files. The exit code alone does not
// show this: if the archive ends early, between two files, kubectl prints "Dropping out copy" and
// exits with 0.
func copied(r clients.Result) bool {
	return r.Code == 0 && !strings.Contains(string(r.Stdout), "Dropping out copy")
}

// linesMissing returns the lines of a text that another text does not contain.
func linesMissing(text, from string) []string {
	other := strings.Split(from, "\n")
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return slices.Contains(other, line) })
}

// slowLink is a network link on which a copy of 100 MB takes 10 s, so that the test can cut the
// link during the copy.
var slowLink = network.LinkOptions{Rate: 10_000_000}

// cutAfter is the number of copied bytes after which the test cuts the connection.
const cutAfter = 1 << 20

// TestPeopleCopyCut checks `kubectl cp` if a load balancer closes its WebSocket during the copy,
// for example because of a maximum age. kubectl must fail, and not report success for an incomplete
// file.
func TestPeopleCopyCut(t *testing.T) {
	t.Parallel()
	edge, itself := people(t)
	s := sites[cluster.New]
	// The links cut connections, as some load balancers do. One link is in front of HAProxy: if it
	// is cut, the client's connection breaks. The other is between HAProxy and edge: if it is cut,
	// HAProxy ends the client's connection in its own way.
	front, err := bed.StartLink(host(edge.to), slowLink)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := bed.StartLink(s.edge.Addr, slowLink)
	if err != nil {
		t.Fatal(err)
	}
	alb, err := bed.StartALB(t.Context(), host(behind.Through(edge.to)))
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := bed.StartLink(host(itself.to), slowLink)
	if err != nil {
		t.Fatal(err)
	}
	before := newPerson(t, "cut before the load balancer", front.Through(edge.to))
	big := blobs[100]
	for _, row := range []struct {
		who *person
		at  *network.Relay
	}{
		{before, front},
		{before.connected(t, connectVersion), front},
		{newPerson(t, "cut behind the load balancer", alb.Access(edge.to.Token)), behind},
		{newPerson(t, "itself", upstream.Through(itself.to)), upstream},
	} {
		heavy <- struct{}{}
		ctx := peopleContext(t)
		inside := "/office/cut-" + slug(row.who.way)
		r := cutInTheMiddle(ctx, t, row.at, row.who.Command(ctx, "cp", big.path, desk+":"+inside), func() int64 {
			var n int64
			r := itself.Run(ctx, "exec", desk, "--", "sh", "-c", "stat -c %s "+inside+" 2>/dev/null || echo 0")
			fmt.Sscan(string(r.Stdout), &n)
			return n
		})
		if r.Err != nil || r.Code <= 0 || len(r.Stderr) == 0 {
			t.Errorf("%s, up: code %d (%v): %q", row.who.way, r.Code, r.Err, r.Stderr)
		}
		if err := succeeded(itself.Run(ctx, "exec", desk, "--", "dd", "if=/dev/zero", "of="+inside+".down", "bs=1048576", "count=100")); err != nil {
			t.Fatal(err)
		}
		outside := filepath.Join(t.TempDir(), "down")
		r = cutInTheMiddle(ctx, t, row.at, row.who.Command(ctx, "cp", desk+":"+inside+".down", outside), func() int64 {
			info, err := os.Stat(outside)
			if err != nil {
				return 0
			}
			return info.Size()
		})
		if r.Err != nil || r.Code <= 0 || len(r.Stderr) == 0 {
			t.Errorf("%s, down: code %d (%v): %q", row.who.way, r.Code, r.Err, r.Stderr)
		}
		itself.Run(ctx, "exec", desk, "--", "rm", "-f", inside, inside+".down")
		<-heavy
	}
}

// cutInTheMiddle runs the command cp. When the function arrived returns at least
// cutAfter bytes, it cuts all connections of the relay.
func cutInTheMiddle(ctx context.Context, t *testing.T, at *network.Relay, cp *exec.Cmd, arrived func() int64) clients.Result {
	t.Helper()
	ended := make(chan clients.Result, 1)
	go func() { ended <- clients.RunCommand(ctx, cp, nil) }()
	for {
		select {
		case r := <-ended:
			t.Errorf("%s ended before the cut: code %d (%v), %s", cp.Args, r.Code, r.Err, r.Stderr)
			return r
		case <-time.After(10 * time.Millisecond):
		}
		if arrived() >= cutAfter {
			at.Cut()
			return <-ended
		}
	}
}
