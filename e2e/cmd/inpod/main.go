// Inpod is a server that the end-to-end tests run inside a pod. busybox's nc cannot replace it,
// because nc resets connections that it should close.
//
//	:8081  a WebSocket that echoes messages, at every path
//	:8082  HTTP: GET /?bytes=n returns n bytes; POST / returns the size of its body;
//	       after=10s in the query delays the response
//	:9000  echoes bytes
//	:9001  resets each connection after its first byte
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	failed := make(chan error)
	for address, handle := range map[string]http.HandlerFunc{":8081": echoMessages, ":8082": carryBytes} {
		go func() { failed <- http.ListenAndServe(address, handle) }()
	}
	for address, handle := range map[string]func(*net.TCPConn){":9000": echo, ":9001": reset} {
		go func() { failed <- serve(address, handle) }()
	}
	fmt.Fprintln(os.Stderr, "inpod:", <-failed)
	os.Exit(1)
}

func serve(address string, handle func(*net.TCPConn)) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			handle(c.(*net.TCPConn))
		}()
	}
}

func echo(c *net.TCPConn) { io.Copy(struct{ io.Writer }{c}, c) }

func reset(c *net.TCPConn) {
	c.Read(make([]byte, 1))
	c.SetLinger(0)
}

// echoMessages sends each WebSocket message back. The library gorilla answers a client's close
// frame with the same close code.
func echoMessages(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"echo"},
		CheckOrigin:  func(*http.Request) bool { return true },
	}
	c, err := upgrader.Upgrade(w, r, http.Header{"X-Path": {r.URL.Path}})
	if err != nil {
		return // no error response, because Upgrade has already sent one
	}
	defer c.Close()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// carryBytes answers a GET with zeros and a POST with the number of bytes in its body. Tests use
// such requests to measure the rate of the connection to the pod.
func carryBytes(w http.ResponseWriter, r *http.Request) {
	if after, err := time.ParseDuration(r.URL.Query().Get("after")); err == nil {
		time.Sleep(after)
	}
	if r.Method == http.MethodPost {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, n)
		return
	}
	n, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for chunk := make([]byte, 256<<10); n > 0 && err == nil; {
		part := chunk[:min(n, int64(len(chunk)))]
		_, err = w.Write(part)
		n -= int64(len(part))
	}
}
