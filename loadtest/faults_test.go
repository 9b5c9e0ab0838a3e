package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/gorilla/websocket"
)

// flip is an echo server with a fault: it changes one bit of byte 20.
func flip(in io.Reader, out io.Writer) error {
	buf := make([]byte, 1)
	for n := 0; ; n++ {
		if _, err := in.Read(buf); err != nil {
			return nil
		}
		if n == 20 {
			buf[0] ^= 0x10
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
}

// double is an echo server with a fault: it writes byte 31 twice.
func double(in io.Reader, out io.Writer) error {
	buf := make([]byte, 1)
	for n := 0; ; n++ {
		if _, err := in.Read(buf); err != nil {
			return nil
		}
		if n == 31 {
			out.Write(buf)
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
}

// swallow is an echo server with a fault: it echoes only the first bytes, reads the rest and
// reports success.
func swallow(in io.Reader, out io.Writer) error {
	_, err := io.Copy(out, io.LimitReader(in, fewBytes+3))
	io.Copy(io.Discard, in)
	return err
}

// leave is an echo server with a fault: it echoes the first 16 bytes and ends.
func leave(in io.Reader, out io.Writer) error {
	_, err := io.CopyN(out, in, fewBytes)
	return err
}

// stall is an echo server with a fault: it reads its input until the client disconnects, and writes
// nothing.
func stall(in io.Reader, _ io.Writer) error {
	io.Copy(io.Discard, in)
	return nil
}

// TestFaults checks that each fault of a server gives the right failure class, that the report
// counts the failure for every session, and that loadtest fails. If a fault ends its session at once,
// the planned duration is so long that no session can reach its end before the fault.
func TestFaults(t *testing.T) {
	echoes := "exec,exec-spdy,port-forward,port-forward-spdy"
	for _, test := range []struct {
		name   string
		change func(*server)
		args   []string
		class  string
	}{
		{"changed byte", func(s *server) { s.echo = flip }, []string{"--mix", echoes}, classWrong},
		{"doubled byte", func(s *server) { s.echo = double }, []string{"--mix", echoes}, classWrong},
		{"lost bytes", func(s *server) { s.echo = swallow }, []string{"--mix", echoes}, classMissing},
		{"early end", func(s *server) { s.echo = leave }, []string{"--mix", echoes, "--duration", "1h"}, classEarly},
		{"nothing comes back", func(s *server) { s.echo = stall }, []string{"--mix", echoes, "--timeout", "1s", "--duration", "1h"}, classTimeout},
		{"command fails", nil, []string{"--mix", "exec,exec-spdy", "--command", "sh", "--duration", "1h"}, classStatus},
		{"nothing listens", nil, []string{"--mix", "port-forward,port-forward-spdy", "--port", "8", "--duration", "1h"}, classForward},
		{"no status", func(s *server) { s.refuse = closes(websocket.CloseNormalClosure) }, nil, classNoStatus},
		{"close code", func(s *server) { s.refuse = closes(websocket.CloseInternalServerErr) }, nil, "close 1011"},
		{"forbidden", func(s *server) { s.refuse = answers(403) }, []string{"--mix", echoes}, "http 403"},
		{"too many", func(s *server) { s.refuse = answers(429) }, []string{"--mix", echoes}, "http 429"},
		{"unavailable", func(s *server) { s.refuse = answers(503) }, []string{"--mix", echoes}, "http 503"},
		{"redirect", func(s *server) { s.refuse = answers(302) }, []string{"--mix", echoes}, classRefused},
		{"another subprotocol", func(s *server) { s.refuse = chooses("v4.channel.k8s.io") }, nil, classRefused},
		{"killed while opening", func(s *server) { s.refuse = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) } }, []string{"--mix", echoes}, classEOF},
		{"no answer", func(s *server) { s.refuse = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() } }, []string{"--mix", echoes, "--open-timeout", "500ms"}, classTimeout},
		{"malformed event", func(s *server) { s.event = "{\"type\":\"ADDED\",\"object\":{\"kin\n" }, []string{"--mix", "watch", "--duration", "1h"}, classEvent},
		{"error event", func(s *server) { s.event = `{"type":"ERROR","object":{"kind":"Status"}}` + "\n" }, []string{"--mix", "watch", "--duration", "1h"}, classEvent},
		{"refused watch", func(s *server) { s.refuse = answers(403) }, []string{"--mix", "watch"}, "http 403"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if test.change != nil {
				test.change(s)
			}
			file := filepath.Join(t.TempDir(), "report.json")
			o := s.drive(t, append([]string{"--sessions", "8", "--report-json", file}, test.args...)...)
			rep := readReport(t, file)
			if o.code != exitMissed || len(rep.Errors) != 1 || rep.Errors[0].Class != test.class || rep.Errors[0].Count != 8 {
				t.Errorf("want 8 of %q\n%s", test.class, o)
			}
		})
	}
}

// answers returns a handler that refuses the request with a status code. The body of its response
// repeats the credential, which loadtest must not show.
func answers(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		fmt.Fprintf(w, "no, %s", r.Header.Get("Authorization"))
	}
}

// closes returns a handler that accepts an exec and closes it with a WebSocket close code, without
// a Status.
func closes(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
		c := must(u.Upgrade(w, r, nil))
		defer c.Close()
		c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
		c.ReadMessage()
	}
}

// chooses returns a handler that agrees to a subprotocol that the client did not offer.
func chooses(subprotocol string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u := websocket.Upgrader{}
		c, err := u.Upgrade(w, r, http.Header{"Sec-Websocket-Protocol": {subprotocol}})
		if err == nil {
			c.Close()
		}
	}
}

// TestServerDies checks that loadtest counts every session as failed if the server dies.
func TestServerDies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "report.json")
	s.watched = func(n int32) {
		if n == 4 {
			go s.kill()
		}
	}
	o := s.drive(t, "--sessions", "20", "--mix", allKinds, "--busy", "4", "--ramp", "2s", "--duration", "1s", "--report-json", file)
	rep := readReport(t, file)
	failed := 0
	for _, e := range rep.Errors {
		failed += e.Count
		if e.Class != classReset && e.Class != classEOF && e.Class != classDial && e.Class != classTLS {
			t.Errorf("%+v", e)
		}
	}
	if o.code != exitMissed || failed != 20 {
		t.Errorf("%d failed\n%s", failed, o)
	}
}

// TestHopeless checks that loadtest ends early, without trying all sessions, if none of the first
// ones can be opened.
func TestHopeless(t *testing.T) {
	s := newServer(t)
	for _, test := range []struct{ class, url string }{{classDial, "https://127.0.0.1:1"}, {classTLS, "https://" + s.plain}} {
		file := filepath.Join(t.TempDir(), "report.json")
		o := s.drive(t, "--url", test.url, "--sessions", "1000", "--duration", "1h", "--mix", allKinds, "--report-json", file)
		rep := readReport(t, file)
		if o.code != exitMissed || len(rep.Errors) != 1 || rep.Errors[0].Class != test.class || rep.Errors[0].Count >= 200 {
			t.Errorf("want some of %q\n%s", test.class, o)
		}
	}
}
