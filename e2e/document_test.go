package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

const documentFile = "../docs/compatibility.md"

// documentHead is the beginning of docs/compatibility.md, before the tables.
const documentHead = `# Compatibility

What real clients do through edge. ` + "`make matrix UPDATE=1`" + ` writes this page. ` + "`make matrix`" + ` fails if its results differ from this
page. ` + "`make test`" + ` does the same with a part of the matrix.

Each cell applies to two clusters with their defaults: Kubernetes 1.37, and Kubernetes 1.29, whose API server refuses WebSocket v5
and tunnelled port-forward.

- **yes**: it works. The test compares the exit code, the output, the size of the terminal and the hash of copied files.
- **error with advice**: it cannot work, because the client supports only SPDY and the load balancer does not. The client fails and
  shows the message at the end of this page.
- empty: not tested, or the client does not have this function.

"` + "`edge connect`" + `" means that kubectl runs below this command on the user's machine. "WebSocket" means kubectl with
` + "`KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true`" + `. The load balancer is HAProxy, configured like an AWS ALB: it accepts HTTP/2 and HTTP/1.1,
sends HTTP/1.1 to edge, forwards WebSocket, drops any other Upgrade, and closes connections after 60 s of silence. nginx is
configured to forward WebSocket and no other Upgrade, with the same 60 s.
`

// checkDocuments compares the results of this run with docs/compatibility.md, and
// docs/compatibility.md with the README. With the flag -update, after a successful run of the whole
// matrix, it writes both files instead.
func (r *results) checkDocuments(passed bool) error {
	found := r.sheet()
	if *updateDocs && *wholeMatrix {
		if !passed || !r.whole() {
			return errors.New("-update requires a successful run of the whole matrix: nothing was written")
		}
		return errors.Join(os.WriteFile(documentFile, []byte(documentHead+found.markdown()), 0o644), found.writeReadme())
	}
	text, err := os.ReadFile(documentFile)
	if err != nil {
		return err
	}
	written := readSheet(string(text))
	// if only a part of the matrix ran, check that docs/compatibility.md has the form that a run of
	// the whole matrix would write
	tables := written
	if r.whole() {
		tables = found
	}
	err = errors.Join(found.check(written), written.checkReadme())
	if string(text) != documentHead+tables.markdown() {
		err = errors.Join(err, errors.New("docs/compatibility.md differs from what the matrix writes"))
	}
	if err != nil {
		return fmt.Errorf("%w\nrun `make matrix UPDATE=1` to update it", err)
	}
	return nil
}

// whole reports whether the results contain every cell of the compatibility matrix, so that no
// operation was left out.
func (r *results) whole() bool {
	cells := 0
	for _, there := range clientsAt(matrixClients, true) {
		for _, c := range there {
			cells += len(c.verbs)
		}
	}
	return len(r.rows) == cells
}

// check compares the results in s, perhaps of only a part of the matrix, with the results in
// docs/compatibility.md (the parameter written).
func (s *sheet) check(written *sheet) error {
	var errs []error
	for key, mark := range s.marks {
		if was := written.marks[key]; was != mark {
			errs = append(errs, fmt.Errorf("docs/compatibility.md has %q for %s, %s, %s, but this run found %q", was, key.client, key.path, key.column, mark))
		}
	}
	for _, message := range s.messages {
		if !slices.Contains(written.messages, message) {
			errs = append(errs, fmt.Errorf("docs/compatibility.md does not contain the message %q", message))
		}
	}
	return errors.Join(errs...)
}

// TestSheet checks that the function readSheet can read what the method markdown writes, and that
// the method check reports each difference between results and the document.
func TestSheet(t *testing.T) {
	var r results
	for p, there := range clientsAt(matrixClients, true) {
		for _, c := range there {
			for _, v := range c.verbs {
				result := resultOK
				if c.refused(v, p.path) {
					result = resultExplained
				}
				r.add(row{Cluster: string(p.cluster), Path: p.path, Client: c.name(), Verb: v.name, Result: result, Message: "edge: no\n\n    a command\n\nworks"})
			}
		}
	}
	if !r.whole() {
		t.Error("the results contain every cell, but whole returns false")
	}
	found := r.sheet()
	written := readSheet(documentHead + found.markdown())
	if err := errors.Join(found.check(written), written.check(found)); err != nil {
		t.Error(err)
	}
	for _, result := range []string{resultExplained, "a failure"} {
		part := results{rows: []row{{Path: nginx, Client: "kubectl 1.37", Verb: "attach", Result: result, Message: "edge: never"}}}
		if err := part.sheet().check(written); err == nil || part.whole() {
			t.Errorf("%s: want a difference and a partial matrix; whole: %v", result, part.whole())
		}
	}
	r.rows[0].Result = "a failure on one cluster"
	if err := r.sheet().check(written); err == nil {
		t.Error("one cluster failed, but check reports no difference")
	}
}
