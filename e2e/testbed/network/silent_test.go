package network

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"edge/e2e/testbed/run"
)

// TestSilentRelay checks a SilentRelay in each of its states. A silent connection must forward
// nothing and not end, while a new connection works. Resume must forward the bytes that the relay
// has kept. After a client has closed its connection, the relay must send it no more answers.
// HangUp must return when the clients have closed their connections.
func TestSilentRelay(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	heard := make(chan string, 16) // lines that the test's server has received, in order
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					heard <- lines.Text()
					io.WriteString(c, lines.Text()+"\n")
				}
			}()
		}
	}()
	n := Network{&run.Run{}}
	relay, err := n.StartSilentRelay(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer n.End()
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", relay.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c, bufio.NewReader(c)
	}
	say := func(c net.Conn, word string) {
		t.Helper()
		if _, err := io.WriteString(c, word+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(r *bufio.Reader, word string) {
		t.Helper()
		if line, err := r.ReadString('\n'); err != nil || line != word+"\n" {
			t.Fatalf("%q, %v, want %q", line, err, word)
		}
		if arrived := <-heard; arrived != word {
			t.Fatalf("%q arrived, want %q", arrived, word)
		}
	}

	silent, fromSilent := dial()
	say(silent, "before")
	hear(fromSilent, "before")
	lost, fromLost := dial()
	say(lost, "to be lost")
	hear(fromLost, "to be lost")
	if n := relay.Silence(); n != 2 {
		t.Errorf("%d connections are silent, want 2", n)
	}
	say(silent, "kept")
	say(lost, "lost")
	fresh, fromFresh := dial()
	say(fresh, "meanwhile")
	// "meanwhile" must be the first line that arrives: "kept" and "lost" are held back
	hear(fromFresh, "meanwhile")
	silent.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if line, err := fromSilent.ReadString('\n'); err == nil || err == io.EOF {
		t.Errorf("a silent connection delivered %q, %v", line, err)
	}
	silent.SetReadDeadline(time.Now().Add(time.Minute))
	relay.Resume()
	for range 2 {
		if word := <-heard; word != "kept" && word != "lost" {
			t.Errorf("%q arrived", word)
		}
	}
	if line, err := fromSilent.ReadString('\n'); err != nil || line != "kept\n" {
		t.Errorf("after the silence: %q, %v", line, err)
	}
	if n := relay.Accepted(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}

	hungUp := make(chan error)
	go func() { hungUp <- relay.HangUp(t.Context()) }()
	for c, r := range map[net.Conn]*bufio.Reader{silent: fromSilent, lost: fromLost, fresh: fromFresh} {
		for err = nil; err == nil; {
			_, err = r.ReadString('\n')
		}
		if err != io.EOF {
			t.Errorf("a connection that was hung up: %v", err)
		}
		c.Close()
	}
	if err := <-hungUp; err != nil {
		t.Error(err)
	}
}
