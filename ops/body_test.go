package ops_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"edge/ops"
)

// TestBodyThatNeverComes checks that a request to the operator's port is answered at once even if
// the body that the request announces never comes, and that the connection is then closed.
func TestBodyThatNeverComes(t *testing.T) {
	server := ops.NewServer(ops.Options{Ready: func() error { return nil }, Notes: func() []string { return nil }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	for path, want := range map[string]int{"/ready": http.StatusOK, "/nothing": http.StatusNotFound} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second)) // a timeout that only a failed test reaches
		io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: edge\r\nContent-Length: 5\r\n\r\n")
		answers := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != want || !resp.Close {
			t.Fatalf("%s: %v, %v", path, resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		if _, err := answers.ReadByte(); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", path)
		}
	}
}
