package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/rawclient"
)

// closing are the ways in which a WebSocket client closes a session while its command runs.
// Half-closed and broken connections are tested elsewhere, in differential_gone_test.go, because
// their result depends on which event the server receives first.
var closing = []struct {
	name string
	end  func(*rawclient.Session) error
	code int // close code that the client must receive directly from the API server
}{
	{"Close", (*rawclient.Session).Close, 1000},
}

// closeScenarios returns scenarios in which the client ends the session while the command runs. In
// one, an SPDY client half-closes its connection. In the others, a WebSocket client sends a close
// frame; the command reads its stdin or sleeps, with or without a terminal.
func closeScenarios() []scenario {
	all := []scenario{{
		name: "client half-closes its connection", stdin: true, skip: onlySPDY, run: halfCloseConnection,
		differs: func(pair) *difference { return hearsOn },
	}}
	for _, c := range closing {
		for _, tty := range []bool{false, true} {
			for _, command := range []string{"reads", "sleeps"} {
				name := fmt.Sprintf("client ends by %s, command %s", c.name, command)
				if tty {
					name += ", terminal"
				}
				all = append(all, scenario{
					name: name, stdin: true, skip: onlyWebSocket,
					run: func(ctx context.Context, r attempt) (rawclient.Observation, error) {
						return closes(ctx, r, command, tty, c.end)
					},
					check: func(d rawclient.Dialect, o rawclient.Observation) error {
						code := c.code
						// If d is SPDY, it replaces a WebSocket dialect that the API server does
						// not support. SPDY has no close code, so the expected code is 0;
						// inDialect adds the close code later.
						if d.SPDY && code == 1000 {
							code = 0
						}
						if o.Close != code || o.Status != nil || o.Text != "" || o.Hung {
							return errors.New("the session was not closed while the command ran")
						}
						return nil
					},
				})
			}
		}
	}
	return all
}

func onlyWebSocket(d rawclient.Dialect) string {
	if d.SPDY {
		return "the scenario needs a WebSocket close frame, and SPDY has only GOAWAY"
	}
	return ""
}

func onlySPDY(d rawclient.Dialect) string {
	if !d.SPDY {
		return "a WebSocket that ends without a close frame is a broken connection"
	}
	return ""
}

// closes runs a session that the client ends, with the function end, while the command runs. It
// reads the remaining output, and checks whether the process in the pod has ended.
func closes(ctx context.Context, r attempt, command string, tty bool, end func(*rawclient.Session) error) (rawclient.Observation, error) {
	file := "/tmp/" + r.name
	script := "echo $$ >" + file + "; echo ready; " + map[string]string{"reads": "cat >/dev/null", "sleeps": "exec sleep 600"}[command]
	o, err := r.d.Exec(ctx, r.to, rawclient.Exec{
		Pod: "shell", Stdin: true, TTY: tty, Command: []string{"sh", "-c", script},
		Do: func(s *rawclient.Session) error {
			if err := s.Expect("ready"); err != nil {
				return err
			}
			return end(s)
		},
	})
	if err != nil || o.Refusal != "" {
		return o, err
	}
	// A command that reads stdin succeeds when its stdin ends. At the API server, the command
	// sometimes ends before the server answers the close frame. So a success is ignored.
	if command == "reads" && !tty && o.Status != nil && o.Status.Status == metav1.StatusSuccess {
		o.Status = nil
	}
	// It is not defined whether the container runtime ends a process that does not read stdin or
	// that has a terminal. So the script only kills such a process and does not check it.
	look := "kill -9 $(cat %[1]s); rm %[1]s; true"
	if command == "reads" && !tty {
		look = "p=$(cat %[1]s); rm %[1]s; i=0; while kill -0 $p && [ $i != 600 ]; do sleep 0.1; i=$((i+1)); done; " +
			"kill -0 $p && echo still there || echo ended; kill -9 $p; true"
	}
	after, err := rawclient.ByName(rawclient.Execs, "spdy v4").Exec(ctx, r.site.cluster.AdminAccess(), rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", fmt.Sprintf(look, file)},
	})
	o.After = after.Stdout.Head
	return o, err
}

// halfCloseConnection half-closes the client's TCP connection, which ends the command's stdin, and
// reads the rest of the session.
func halfCloseConnection(ctx context.Context, r attempt) (rawclient.Observation, error) {
	return r.d.Exec(ctx, r.to, rawclient.Exec{
		Pod: "shell", Stdin: true, Command: []string{"sh", "-c", "echo ready; n=$(wc -c); sleep 2; echo after $n; exit 3"},
		Do: func(s *rawclient.Session) error {
			if err := s.Expect("ready"); err != nil {
				return err
			}
			if _, err := s.Write([]byte("input")); err != nil {
				return err
			}
			return s.CloseWrite()
		},
	})
}

// hearsOn is an accepted difference for an SPDY client that half-closes its TCP connection. The API
// server ends the session. edge treats the half-close as the end of stdin, and continues to send
// the command's output to the client.
var hearsOn = &difference{"half-closed SPDY", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status != nil || own.Text != "" || strings.Contains(own.Stdout.Head, "after") {
		return own, errors.New("the API server itself sent more output or a result")
	}
	if edge.Stdout.Head != "ready\nafter 5\n" || edge.OK() || edge.Close != 0 || edge.Hung {
		return own, errors.New("edge did not send the output and the result")
	}
	return edge, nil
}}
