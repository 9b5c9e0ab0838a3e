package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
)

// TestHeldEdgeServesWhoReadsItsVariables checks that another program can use edge with the
// variables that bench --hold prints: for an exec of cat, and for a watch. It also checks that edge
// exits when bench does.
func TestHeldEdgeServesWhoReadsItsVariables(t *testing.T) {
	expectNothingLeft(t)
	ctx, release := context.WithCancel(t.Context())
	printed, stdout := io.Pipe()
	defer printed.Close()
	code := make(chan int, 1)
	var stderr tail
	go func() {
		code <- run(ctx, []string{"--hold"}, stdout, &stderr)
		stdout.Close()
	}()
	variables := readVariables(t, printed, 4)
	t.Log(&stderr)
	token, err := os.ReadFile(variables["TOKEN_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(variables["CA_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(variables["EDGE_PID"])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("no process %d: %v", pid, err)
	}
	address, ok := strings.CutPrefix(variables["URL"], "https://")
	if !ok {
		t.Fatalf("variables: %v", variables)
	}
	held := target{address: address, token: string(token), pool: x509.NewCertPool()}
	held.pool.AppendCertsFromPEM(ca)
	checkCat(t, held)
	checkWatch(t, held)
	release()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d: %s", got, &stderr)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("edge still runs after bench has ended")
	}
}

// readVariables reads n lines of the form NAME=value.
func readVariables(t *testing.T, r io.Reader, n int) map[string]string {
	t.Helper()
	all := map[string]string{}
	for range n {
		line, err := readLongLine(r)
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(line, "=")
		all[name] = value
	}
	return all
}

func readLongLine(r io.Reader) (string, error) {
	var line []byte
	var next [1]byte
	for {
		if _, err := io.ReadFull(r, next[:]); err != nil {
			return "", err
		}
		if next[0] == '\n' {
			return string(line), nil
		}
		line = append(line, next[0])
	}
}

// checkCat checks an exec of cat through edge: cat echoes until stdin ends, and then ends with a
// success.
func checkCat(t *testing.T, held target) {
	t.Helper()
	conn, err := execV5.dial(t.Context(), held, work{command: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, said := range []string{"hello", strings.Repeat("x", maxWrite)} {
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, len(said))
		if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != said {
			t.Fatalf("cat: %d bytes, %v", len(heard), err)
		}
	}
	const closeChannel = 255
	if err := conn.(*channelConn).conn.WriteMessage(websocket.BinaryMessage, []byte{closeChannel, 0}); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("cat ends with %q, %v", rest, err)
	}
}

// checkWatch checks a watch through edge: the first event comes at once and a second one later.
func checkWatch(t *testing.T, held target) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: held.pool}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+held.address+"/api/v1/namespaces/any/pods?watch=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = held.header()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var event struct {
		Type   string
		Object struct {
			Metadata struct{ ResourceVersion string }
		}
	}
	decoder := json.NewDecoder(response.Body)
	if err := decoder.Decode(&event); err != nil || event.Type != "BOOKMARK" || event.Object.Metadata.ResourceVersion != "1" {
		t.Errorf("%s: %+v, %v", response.Status, event, err)
	}
	if err := decoder.Decode(&event); err != nil || event.Object.Metadata.ResourceVersion != "2" {
		t.Errorf("second event: %+v, %v", event, err)
	}
}
