// Inpod is what tests find inside a pod beside busybox, whose nc resets connections that it should end.
//
//	:8081  a WebSocket that echoes messages, at every path
//	:9000  echoes bytes
//	:9001  resets each connection after its first byte
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	failed := make(chan error)
	go func() { failed <- http.ListenAndServe(":8081", http.HandlerFunc(echoMessages)) }()
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

// echoMessages closes with the code that a client closes with, as gorilla does by itself.
func echoMessages(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"echo"},
		CheckOrigin:  func(*http.Request) bool { return true },
	}
	c, err := upgrader.Upgrade(w, r, http.Header{"X-Path": {r.URL.Path}})
	if err != nil {
		return // it has been answered
	}
	defer c.Close()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, message) != nil {
			return
		}
	}
}
