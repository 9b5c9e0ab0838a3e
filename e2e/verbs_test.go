package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// want returns an error unless the client's run r ended with this exit code and printed this on
// stdout.
func want(r clients.Result, code int, stdout string) error {
	if r.Err != nil || r.Code != code || string(r.Stdout) != stdout {
		return fmt.Errorf("code %d (%v), stdout %.200q, stderr %.1000q; want code %d, stdout %.200q", r.Code, r.Err, r.Stdout, r.Stderr, code, stdout)
	}
	return nil
}

func getPods(ctx context.Context, tr *trial) error {
	return want(tr.k.Run(ctx, "get", "pod", "shell", "-o", "jsonpath={.metadata.name}"), 0, "shell")
}

// watchConfigMaps checks that `kubectl get --watch` reports ConfigMaps that are created while it
// runs.
func watchConfigMaps(ctx context.Context, tr *trial) error {
	w, err := startLines(ctx, tr.k.Command, "get", "configmaps", "--watch", "--output-watch-events", "--no-headers")
	if err != nil {
		return err
	}
	defer w.stop()
	return seeConfigMaps(ctx, tr, w)
}

// seeConfigMaps creates ConfigMaps and checks that a running watch, whose output is w, reports
// them.
func seeConfigMaps(ctx context.Context, tr *trial, w *lines) error {
	// The watch has begun when it has reported the first ConfigMap. The test creates that ConfigMap
	// itself, because the ConfigMap kube-root-ca.crt exists only in clusters with a controller
	// manager.
	for _, suffix := range []string{"-first", "-second"} {
		name := tr.name + suffix
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		maps := tr.site.cluster.Client.CoreV1().ConfigMaps(cluster.Namespace)
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
		defer maps.Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{})
		if err := w.expect(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// followLogs checks that `kubectl logs --follow` prints lines that are written while it runs.
func followLogs(ctx context.Context, tr *trial) error {
	w, err := startLines(ctx, tr.k.Command, "logs", "--follow", "--tail=1", "ticker")
	if err != nil {
		return err
	}
	defer w.stop()
	return seeTicks(ctx, w)
}

// seeTicks checks that a client prints four consecutive lines of the log of the pod "ticker", which
// writes numbers.
func seeTicks(ctx context.Context, w *lines) error {
	var last int
	for range 4 {
		line, err := w.next(ctx)
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscanf(line, "tick %d", &n); err != nil || last != 0 && n != last+1 {
			return fmt.Errorf("line %q after tick %d", line, last)
		}
		last = n
	}
	return nil
}

func execStdin(ctx context.Context, tr *trial) error {
	r := tr.k.RunInput(ctx, strings.NewReader("from stdin\n"), "exec", "-i", "shell", "--", "sh", "-c", "cat; echo to stderr >&2; exit 7")
	if err := want(r, 7, "from stdin\n"); err != nil {
		return err
	}
	if !strings.HasPrefix(discarded.ReplaceAllString(string(r.Stderr), ""), "to stderr\n") {
		return fmt.Errorf("stderr %q", r.Stderr)
	}
	return nil
}

// discarded matches a line that client-go before 0.34 may log with any server, if it reads the
// empty start message before it has created its streams. The test removes the line from stderr.
var discarded = regexp.MustCompile(`(?m)^E\d{4} .* websocket\.go:\d+\] Unknown stream id 1, discarding message\n`)

// execTerminal checks `kubectl exec -it`: the terminal's size inside the pod, before and after a
// resize.
func execTerminal(ctx context.Context, tr *trial) error {
	term, err := tr.k.Terminal(ctx, 30, 100, "exec", "-it", "shell", "--", "sh")
	if err != nil {
		return err
	}
	defer term.Close()
	return resizeTerminal(ctx, term)
}

// resizeTerminal calls followResize and ends the shell with exit code 5.
func resizeTerminal(ctx context.Context, term *clients.Terminal) error {
	if err := errors.Join(followResize(ctx, term), term.Type("exit 5\n")); err != nil {
		return err
	}
	if code := term.Wait(ctx); code != 5 {
		return fmt.Errorf("exit code %d, want 5: %q", code, term.Shown())
	}
	return nil
}

// followResize types into a running shell: it checks the terminal's size inside the pod before and
// after a resize.
func followResize(ctx context.Context, term *clients.Terminal) error {
	for _, size := range []struct{ rows, cols int }{{30, 100}, {41, 123}} {
		if err := term.Resize(size.rows, size.cols); err != nil {
			return err
		}
		// The new terminal size and the typed keys reach the pod separately, so the script waits
		// until the size has arrived.
		ask := `until [ "$(stty size)" = "%d %d" ]; do sleep 0.1; done; echo the size is $(stty size)` + "\n"
		if err := term.Type(fmt.Sprintf(ask, size.rows, size.cols)); err != nil {
			return err
		}
		if err := term.Expect(ctx, fmt.Sprintf("the size is %d %d", size.rows, size.cols)); err != nil {
			return err
		}
	}
	return nil
}

// attach checks `kubectl attach` to the main process of a pod, until that process ends.
func attach(ctx context.Context, tr *trial) error {
	pod := tr.name + "-attach"
	err := tr.site.cluster.StartPod(ctx, cluster.PodOptions{Name: pod, Stdin: true, Script: "read line; echo got $line; sleep 1"})
	if err != nil {
		return err
	}
	defer tr.site.cluster.Client.CoreV1().Pods(cluster.Namespace).Delete(context.WithoutCancel(ctx), pod, metav1.DeleteOptions{})
	return want(tr.k.RunInput(ctx, strings.NewReader("a line\n"), "attach", "-i", pod), 0, "got a line\n")
}

// blobs are files for the cp tests, by their size in MB. Their content is random, so that it cannot
// be compressed.
var blobs = map[int]blob{10: {}, 100: {}}

type blob struct {
	path string
	hash string // SHA-256 of the file in hexadecimal
}

func makeBlobs() error {
	for megabytes := range blobs {
		b := make([]byte, megabytes<<20)
		rand.Read(b)
		sum := sha256.Sum256(b)
		path := filepath.Join(bed.Dir, fmt.Sprintf("blob-%d", megabytes))
		blobs[megabytes] = blob{path, hex.EncodeToString(sum[:])}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func copyBothWays(megabytes int) func(context.Context, *trial) error {
	return func(ctx context.Context, tr *trial) error { return copyBlob(ctx, tr, blobs[megabytes]) }
}

func copyBlob(ctx context.Context, tr *trial, b blob) error {
	inside := "/tmp/" + tr.name
	if err := want(tr.k.Run(ctx, "cp", b.path, "shell:"+inside), 0, ""); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	defer tr.k.Run(context.WithoutCancel(ctx), "exec", "shell", "--", "rm", "-f", inside)
	r := tr.k.Run(ctx, "exec", "shell", "--", "sha256sum", inside)
	if err := want(r, 0, b.hash+"  "+inside+"\n"); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	back := filepath.Join(tr.t.TempDir(), "blob")
	if r = tr.k.Run(ctx, "cp", "shell:"+inside, back); r.Code != 0 {
		return fmt.Errorf("down: code %d: %s", r.Code, r.Stderr)
	}
	hash, err := hashFile(back)
	if err != nil {
		return err
	}
	if hash != b.hash {
		return errors.New("down: the hash differs")
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

func portForward(ctx context.Context, tr *trial) error {
	p, err := tr.k.PortForward(ctx, "pod/shell", 8080)
	if err != nil {
		return err
	}
	defer p.Stop()
	if err := fetchPages(p.Addr); err != nil {
		return fmt.Errorf("%w; kubectl's output: %s", err, p.Said())
	}
	return nil
}

// fetchPages sends 20 requests to a forwarded port, each on a connection of its own: ten one after
// the other, then ten at the same time.
func fetchPages(addr string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	request := func() error {
		resp, err := client.Get("http://" + addr + "/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(page, []byte(cluster.Page)) {
			return fmt.Errorf("page %q, %v", page, err)
		}
		return nil
	}
	for range 10 {
		if err := request(); err != nil {
			return err
		}
	}
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = request() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
