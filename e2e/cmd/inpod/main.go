// Inpod is what tests find inside a pod beside busybox.
//
//	inpod echo :8081     a WebSocket that echoes messages, at every path
//	inpod reset :9002    a TCP port that resets each connection after its first bytes
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	serve := map[string]func(string) error{"echo": echo, "reset": reset}
	if len(os.Args) != 3 || serve[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: inpod echo|reset ADDRESS")
		os.Exit(2)
	}
	if err := serve[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "inpod:", err)
		os.Exit(1)
	}
}

// echo closes with the code that a client closes with, as gorilla does by itself.
func echo(address string) error {
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"echo"},
		CheckOrigin:  func(*http.Request) bool { return true },
	}
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}))
}

func reset(address string) error {
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
			c.Read(make([]byte, 1))
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}()
	}
}
