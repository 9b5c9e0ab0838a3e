package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

const documentFile = "../docs/compatibility.md"

// documentHead stands before the tables.
const documentHead = `# Compatibility

What real clients do through edge. ` + "`make matrix UPDATE=1`" + ` wrote this page from what it found; ` + "`make matrix`" + ` fails where it finds
something else, and so does ` + "`make test`" + `, which runs each client in one place.

Each cell speaks for two clusters: Kubernetes 1.36 as it is, and the same with the feature gates off that came since 1.30, so that
its API server refuses WebSocket v5 and tunnelled port-forward.

- **yes**: it works: what came back was compared, with the exit code, the terminal's size and the file's hash.
- **told why not**: it cannot work. The client speaks only SPDY, and what stands in front of edge carries none. The client exits with
  an error and shows what is at the end of this page.
- empty: not tested, or the client has no such thing.

The load balancer is HAProxy set up as an AWS ALB: HTTP/2 and HTTP/1.1 in front, HTTP/1.1 behind, WebSocket carried, any other
Upgrade dropped, 60 s of idle time. nginx is set up as an ingress that carries WebSocket and no other Upgrade.

"WebSocket" after kubectl 1.29 is ` + "`KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true`" + `. "` + "`edge connect`" + `" is
` + "`edge connect -- kubectl ...`" + ` on the user's machine. kubectl copies 10 MB each way, 1.36 and one other 100 MB.
`

// checkDocuments holds what this run found against docs/compatibility.md, and that against the README. A whole matrix that passed
// writes both if it was asked to.
func (r *results) checkDocuments(passed bool) error {
	found := r.sheet()
	if *updateDocs {
		if !passed || !r.whole() {
			return errors.New("-update needs a whole matrix that passed: nothing was written")
		}
		return errors.Join(os.WriteFile(documentFile, []byte(documentHead+found.markdown()), 0o644), found.writeReadme())
	}
	text, err := os.ReadFile(documentFile)
	if err != nil {
		return err
	}
	written := readSheet(string(text))
	if err := errors.Join(found.check(written), written.checkReadme()); err != nil {
		return fmt.Errorf("%w\n`make matrix UPDATE=1` writes what it finds", err)
	}
	if r.whole() && string(text) != documentHead+found.markdown() {
		return errors.New("docs/compatibility.md is not what this run found; `make matrix UPDATE=1` writes it")
	}
	return nil
}

// whole tells whether nothing of the matrix is missing.
func (r *results) whole() bool {
	cells := 0
	for _, there := range clientsAt(true) {
		for _, c := range there {
			cells += len(c.verbs)
		}
	}
	return len(r.rows) == cells
}

// check compares the cells that are in s, a part of the whole.
func (s *sheet) check(written *sheet) error {
	var errs []error
	for key, mark := range s.marks {
		if was := written.marks[key]; was != mark {
			errs = append(errs, fmt.Errorf("docs/compatibility.md has %q for %s, %s, %s, but this run found %q", was, key.client, key.path, key.column, mark))
		}
	}
	for _, message := range s.messages {
		if !slices.Contains(written.messages, message) {
			errs = append(errs, fmt.Errorf("docs/compatibility.md lacks the message %q", message))
		}
	}
	return errors.Join(errs...)
}
