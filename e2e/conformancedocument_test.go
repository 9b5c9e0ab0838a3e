package e2e

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed/conformance"
)

// conformanceResults are the outcomes of Kubernetes' own tests, by path to the API server and by the
// test's name.
type conformanceResults map[string]map[string]conformance.Outcome

// conformancePaths are the paths to the API server on which Kubernetes' own tests run, in their order.
var conformancePaths = []string{itself, balanced, inPods}

// with returns the names of the tests that ended like this on a path.
func (r conformanceResults) with(path string, state conformance.State) []string {
	var names []string
	for name, outcome := range r[path] {
		if outcome.State == state {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// faults returns an error for each test that passes at the API server itself but not through edge.
func (r conformanceResults) faults() error {
	var errs []error
	for _, path := range conformancePaths[1:] {
		for _, name := range r.with(itself, conformance.Passed) {
			if path == inPods && withoutPods.MatchString(name) {
				continue
			}
			if o := r[path][name]; o.State != conformance.Passed {
				errs = append(errs, fmt.Errorf("passes at the API server, but not through edge (%s): %s: %s %.1000s", path, name, o.State, o.Message))
			}
		}
	}
	return errors.Join(errs...)
}

const (
	conformanceFile  = "../docs/conformance.md"
	conformanceBegin = "<!-- conformance: from docs/conformance.md -->\n"
	conformanceEnd   = "<!-- end of conformance -->\n"
)

// summary returns the sentences about the results that are in docs/conformance.md and in the README.
func (r conformanceResults) summary() string {
	count := func(path string) int { return len(r.with(path, conformance.Passed)) }
	return fmt.Sprintf(`Of [Kubernetes' own end-to-end tests](https://github.com/kubernetes/kubernetes/tree/v1.37.2/test/e2e), %d that a
front end of the API can break pass at the API server itself. Through a load balancer and edge, %d of them
pass; through a load balancer and edge in three pods, %d.
`, count(itself), count(balanced), count(inPods))
}

// conformanceText is docs/conformance.md without the tests that fail at the API server itself. Its values
// are the summary and the number of tests that do not apply.
const conformanceText = `# Conformance

` + "`make conformance UPDATE=1`" + ` writes this page. ` + "`make conformance`" + ` fails if a test passes at the API server itself and
not through edge. ` + "`make test`" + ` runs a part of the tests, through a load balancer and edge.

` + conformanceBegin + "%s" + conformanceEnd + `
The user is a cluster administrator: at the API server itself by a client certificate, through edge by an OIDC
token for the same name and groups. edge has ` + "`--token-passthrough`" + `, because some tests use tokens of
ServiceAccounts. The load balancer is HAProxy, configured like an AWS ALB, with three exceptions:

- One test uses a client certificate, which no load balancer forwards. It runs at an edge without a load
  balancer, with ` + "`--client-ca-file`" + `, and not at edge in pods.
- One test runs a command of 20,000 characters, which are a part of the URL. An ALB refuses a request line of
  more than 16 KiB; HAProxy takes 64 KiB here.
- One test taints the cluster's only node, so that all pods are evicted, those of edge too. It does not run at
  edge in pods.

Another %d tests found that they do not apply to the cluster, such as those that need a cloud.

## Tests that fail at the API server itself

They say nothing about edge.

| test | reason |
|---|---|
`

// document returns docs/conformance.md.
func (r conformanceResults) document() (string, error) {
	text := fmt.Sprintf(conformanceText, r.summary(), len(r.with(itself, conformance.Skipped)))
	var errs []error
	for _, name := range r.with(itself, conformance.Failed) {
		reason := conformanceReason(name)
		if reason == "" {
			errs = append(errs, fmt.Errorf("fails at the API server itself, and conformanceReasons does not say why: %s: %.1000s", name, r[itself][name].Message))
		}
		text += fmt.Sprintf("| %s | %s |\n", strings.ReplaceAll(name, "|", `\|`), reason)
	}
	return text, errors.Join(errs...)
}

// conformanceReasons says why tests of Kubernetes fail at the API server itself, on this testbed.
var conformanceReasons = []struct{ tests, reason string }{
	{`should have at least two untainted nodes`, "the cluster has one node"},
	{`StorageVersion resources`, "needs the feature gate StorageVersionAPI, which is off by default"},
}

func conformanceReason(test string) string {
	for _, r := range conformanceReasons {
		if regexp.MustCompile(r.tests).MatchString(test) {
			return r.reason
		}
	}
	return ""
}

// write writes the results to docs/conformance.md and to the README.
func (r conformanceResults) write() error {
	text, err := r.document()
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(conformanceFile, []byte(text), 0o644),
		replaceInReadme(conformanceBegin, conformanceEnd, r.summary()),
	)
}

// TestConformanceDocument checks that the README has the counts of docs/conformance.md.
func TestConformanceDocument(t *testing.T) {
	var counts []string
	for _, file := range []string{conformanceFile, readmeFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, shown, _, err := cut(string(text), conformanceBegin, conformanceEnd)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		counts = append(counts, shown)
	}
	if counts[0] != counts[1] {
		t.Errorf("docs/conformance.md has %q, the README %q", counts[0], counts[1])
	}
}
