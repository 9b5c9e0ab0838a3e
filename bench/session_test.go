package main

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"edge/internal/testkit"
)

const success = "\x03" + `{"metadata":{},"status":"Success"}`

var echoWork = work{command: []string{"echo"}, tty: true}

// TestSessionAgainstAScript checks that bench's session distinguishes each wrong end from a correct
// one. Otherwise a broken proxy would look fast.
func TestSessionAgainstAScript(t *testing.T) {
	for _, test := range []struct {
		name     string
		messages []string // messages that the server sends after readyByte
		err      error    // error that receive(4), or finish after it, must return
		text     string   // text that the error must contain, if the field err is nil
	}{
		{name: "whole", messages: []string{"\x01abcd", success}},
		{name: "in parts", messages: []string{"\x01", "\x01a", "\x01bc", "\x01d", success}},
		{name: "too much", messages: []string{"\x01abcde", success}, err: errSurplus},
		{name: "too much later", messages: []string{"\x01abcd", "\x01e", success}, err: errSurplus},
		{name: "too little", messages: []string{"\x01abc", success}, err: errEarlyEnd},
		{name: "cut", messages: []string{"\x01abc"}, text: "close 1006"},
		{name: "no status", messages: []string{"\x01abcd"}, text: "no status"},
		{name: "on stderr", messages: []string{"\x02oops"}, text: "channel 2"},
		{name: "failure", messages: []string{"\x01abcd", "\x03" + `{"status":"Failure","message":"exit 7"}`}, text: "exit 7"},
		{name: "not a status", messages: []string{"\x01abcd", "\x03oops"}, text: "read the status"},
		{name: "no channel", messages: []string{""}, text: "channel"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := execV5.open(t.Context(), scripted(t, subprotocolV5, test.messages), echoWork)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err = s.receive(4); err == nil {
				err = s.finish()
			}
			switch {
			case test.err == nil && test.text == "":
				if err != nil {
					t.Error(err)
				}
			case test.err != nil:
				if !errors.Is(err, test.err) {
					t.Errorf("%v, want %v", err, test.err)
				}
			case err == nil || !strings.Contains(err.Error(), test.text):
				t.Errorf("%v, want %q in it", err, test.text)
			}
		})
	}
}

func TestSessionRefusesAnotherSubprotocol(t *testing.T) {
	target := scripted(t, subprotocolV4, nil)
	if _, err := execV5.open(t.Context(), target, echoWork); err == nil || !strings.Contains(err.Error(), subprotocolV5) {
		t.Error(err)
	}
}

func TestRefusalIsReported(t *testing.T) {
	server := testkit.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not for you", http.StatusForbidden)
	}))
	defer server.Close()
	for _, d := range []dialect{execV5, execSPDY, forwardTunnel, forwardSPDY} {
		_, err := d.open(t.Context(), targetOf(server), echoWork)
		if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "not for you") {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}

// scripted starts a server and returns its address. For each session the server sends readyByte and
// then messages, and closes the connection without a WebSocket close frame.
func scripted(t *testing.T, subprotocol string, messages []string) target {
	server := testkit.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{subprotocol}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for _, message := range append([]string{"\x01", "\x01" + string(byte(readyByte))}, messages...) {
			if conn.WriteMessage(websocket.BinaryMessage, []byte(message)) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return targetOf(server)
}

func targetOf(server *httptest.Server) target {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return target{address: server.Listener.Addr().String(), token: "secret", pool: pool}
}
