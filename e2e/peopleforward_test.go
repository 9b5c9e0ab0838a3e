package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// TestPeopleDownload makes these downloads over one port-forward: first those that the client aborts,
// one after the other, then those that run at the same time.
const (
	abortedDownloads = 50
	abortAfter       = 64 << 10 // number of bytes after which the client aborts a download
	downloadsAtOnce  = 30
)

// TestPeopleDownload checks a port-forward after a client has aborted 50 downloads over it. Then 30
// concurrent downloads must receive every byte.
func TestPeopleDownload(t *testing.T) {
	t.Parallel()
	edge, itself := people(t)
	sum := itself.Run(t.Context(), "exec", desk, "--", "sha256sum", "/www/blob")
	if err := succeeded(sum); err != nil {
		t.Fatal(err)
	}
	hash, _, _ := strings.Cut(string(sum.Stdout), " ")
	// The rows with SPDY need a kubectl newer than 1.29. Up to 1.29, kubectl itself hangs at the
	// first aborted download, because it does not reset a stream that is no longer read.
	const spdy = "KUBECTL_PORT_FORWARD_WEBSOCKETS=false"
	overSPDY, connected := *itself, edge.connected(t, peopleVersion, spdy)
	overSPDY.way, overSPDY.Kubectl = "itself, over SPDY", bed.Kubectl(peopleVersion, itself.file, spdy)
	rows := []*person{edge, connected, itself, &overSPDY}
	for _, who := range rows {
		t.Run(who.way, func(t *testing.T) {
			t.Parallel()
			heavy <- struct{}{}
			defer func() { <-heavy }()
			ctx := peopleContext(t)
			forward, err := who.PortForward(ctx, "pod/"+desk, 8080)
			if err != nil {
				t.Fatal(err)
			}
			defer forward.Stop()
			for i := range abortedDownloads {
				if err := abortDownload(forward.Addr, i%2 == 0); err != nil {
					t.Fatalf("download %d, which is to be aborted: %v; kubectl output: %s", i, err, forward.Said())
				}
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			errs := make([]error, downloadsAtOnce)
			var running sync.WaitGroup
			for i := range errs {
				running.Go(func() { errs[i] = download(ctx, client, forward.Addr, hash) })
			}
			running.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Errorf("%v; kubectl output: %.2000s", err, forward.Said())
			}
		})
	}
}

// abortDownload reads the first bytes of the web page "blob", then closes or resets the connection.
func abortDownload(addr string, reset bool) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET /blob HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	if reset {
		conn.(*net.TCPConn).SetLinger(0)
	}
	n, err := io.CopyN(io.Discard, conn, abortAfter)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	return nil
}

// download gets the whole web page "blob" and checks its SHA-256.
func download(ctx context.Context, client *http.Client, addr, hash string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/blob", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, resp.Body)
	if err == nil && hex.EncodeToString(h.Sum(nil)) != hash {
		err = errors.New("the hash differs")
	}
	if err != nil {
		return fmt.Errorf("%d bytes: %w", n, err)
	}
	return nil
}

// TestPeopleProxy checks the Python client behind `kubectl proxy`. The results through edge must be
// the same as directly at the API server.
func TestPeopleProxy(t *testing.T) {
	t.Parallel()
	edge, itself := people(t)
	for _, who := range []*person{edge, itself} {
		t.Run(who.way, func(t *testing.T) {
			t.Parallel()
			ctx := peopleContext(t)
			// By default, kubectl proxy itself refuses exec and attach, so switch its filter off.
			proxy, err := startLines(ctx, who.Command, "proxy", "--port=0", "--disable-filter")
			if err != nil {
				t.Fatal(err)
			}
			defer proxy.stop()
			if err := proxy.expect(ctx, "Starting to serve on "); err != nil {
				t.Fatal(err)
			}
			_, addr, _ := strings.Cut(proxy.seen[len(proxy.seen)-1], "Starting to serve on ")
			file, err := bed.Kubeconfig(cluster.Access{Server: "http://" + addr, Namespace: peopleNamespace})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range []struct {
				stdin, script, stdout string
				code                  int
			}{
				{"", "echo out; echo err >&2; exit 7", "out\n", 7},
				{"a line\n", "read line; echo got $line", "got a line\n", 0},
			} {
				cmd, err := bed.Python(ctx, file, "exec.py", peopleNamespace, desk, "sh", "-c", row.script)
				if err != nil {
					t.Fatal(err)
				}
				if err := want(clients.RunCommand(ctx, cmd, strings.NewReader(row.stdin)), row.code, row.stdout); err != nil {
					t.Errorf("exec: %v", err)
				}
			}
			cmd, err := bed.Python(ctx, file, "portforward.py", peopleNamespace, desk, "9000", "100000")
			if err != nil {
				t.Fatal(err)
			}
			if err := want(clients.RunCommand(ctx, cmd, nil), 0, "echo\necho\nrefused\n"); err != nil {
				t.Errorf("port-forward: %v", err)
			}
		})
	}
}
