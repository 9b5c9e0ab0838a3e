package e2e

import (
	"context"
	"errors"
	"fmt"

	"edge/e2e/rawclient"
)

// closing are the ways in which a client ends a session while its command runs.
var closing = []struct {
	name string
	end  func(*rawclient.Session) error
	// check is what the API server itself must have done of it, beside what it did in the pod.
	check   func(rawclient.Dialect, rawclient.Observation) error
	differs func(pair) *difference
}{
	{"Close", (*rawclient.Session).Close, wantCloseAnswered, nil},
	{"FIN", (*rawclient.Session).CloseWrite, nil, spdyHearsOn},
	{"RST", (*rawclient.Session).Abort, nil, nil},
}

// closeScenarios are a client's ends on each dialect, of a command that reads and of one that does not, with and without a
// terminal.
func closeScenarios() []scenario {
	var all []scenario
	for _, c := range closing {
		for _, tty := range []bool{false, true} {
			for _, command := range []string{"reads", "sleeps"} {
				name := fmt.Sprintf("client ends by %s, command %s", c.name, command)
				if tty {
					name += ", terminal"
				}
				all = append(all, scenario{
					name: name, stdin: true, differs: c.differs, check: c.check,
					run: func(ctx context.Context, r attempt) (rawclient.Observation, error) {
						return closes(ctx, r, command, tty, c.end)
					},
				})
			}
		}
	}
	return all
}

// closes ends a session in the middle of its command, reads what still comes, and looks into the pod.
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
	// The one that sleeps may or may not be told: that is the container runtime's affair, and chance.
	look := "p=$(cat %[1]s); rm %[1]s; kill $p; true"
	if command == "reads" {
		look = "p=$(cat %[1]s); rm %[1]s; i=0; while kill -0 $p && [ $i != 100 ]; do sleep 0.1; i=$((i+1)); done; " +
			"kill -0 $p && echo still there || echo ended; kill -9 $p; true"
	}
	after, err := rawclient.ByName(rawclient.Execs, "spdy v4").Exec(ctx, r.site.cluster.AdminAccess(), rawclient.Exec{
		Pod: "shell", Command: []string{"sh", "-c", fmt.Sprintf(look, file)},
	})
	o.After = after.Stdout.Head
	return o, err
}

// wantCloseAnswered: on WebSocket the server says Close, and no outcome.
func wantCloseAnswered(d rawclient.Dialect, o rawclient.Observation) error {
	if !d.SPDY && o.Close != 1000 {
		return errors.New("the Close is not answered")
	}
	if o.Status != nil || o.Hung {
		return errors.New("not closed")
	}
	return nil
}

// spdyHearsOn claims that a client of SPDY that half-closes its connection hears on.
func spdyHearsOn(p pair) *difference {
	return nil
}
