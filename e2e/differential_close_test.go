package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/rawclient"
)

// closing are the ways in which a WebSocket client ends a session while its command runs.
// Half-closed and broken connections are in differential_gone_test.go, because their result depends
// on which event the server receives first.
var closing = []struct {
	name string
	end  func(*rawclient.Session) error
	code int // the close code with which the API server itself must answer
}{
	{"Close", (*rawclient.Session).Close, 1000},
}

// closeScenarios are scenarios in which the client ends the session, for each dialect. The command
// reads its stdin or does not, with and without a terminal.
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
						if d.SPDY && code == 1000 { // SPDY replaces a WebSocket dialect that the server does not support; see inDialect
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

// closes ends a session while its command runs, reads the remaining output, and checks whether the
// process in the pod ended.
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
	// A command that reads ends with its stdin. At the API server this sometimes happens before the
	// server answers the close frame, so a success is ignored.
	if command == "reads" && !tty && o.Status != nil && o.Status.Status == metav1.StatusSuccess {
		o.Status = nil
	}
	// If the command does not read or has a terminal, it is not defined whether the container
	// runtime ends it. Then the process is only killed.
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

// halfCloseConnection half-closes the TCP connection, which ends stdin, and continues to read.
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

// hearsOn is the difference for an SPDY client that half-closes its connection. The API server
// drops the client; edge treats the half-close as the end of stdin.
var hearsOn = &difference{"half-closed SPDY", true, func(own, edge rawclient.Observation) (rawclient.Observation, error) {
	if own.Status != nil || own.Text != "" || strings.Contains(own.Stdout.Head, "after") {
		return own, errors.New("the API server itself sent more output or a result")
	}
	if edge.Stdout.Head != "ready\nafter 5\n" || edge.OK() || edge.Close != 0 || edge.Hung {
		return own, errors.New("edge did not send the output and the result")
	}
	return edge, nil
}}
