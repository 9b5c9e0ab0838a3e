package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"edge/e2e/testbed/run"
)

// Options configures Run.
type Options struct {
	Kubeconfig string // of a user who may do everything
	Kubectl    string // path of the kubectl that the tests run
	// Tests are regular expressions. A test runs if its name has a match of one.
	Tests []string
	// Labels is a label filter of Ginkgo that further limits the tests; empty: no limit.
	Labels string
	AtOnce int // number of tests that run at the same time
	// Timeout ends the tests that have not ended by then, as failed.
	Timeout time.Duration
}

// Outcome is the result of one test.
type Outcome struct {
	State   State
	Message string // why the test failed, or why it does not apply to the cluster
}

// State is how a test ended.
type State string

// States of a test.
const (
	Passed State = "passed"
	// Skipped is a test that found that it does not apply to the cluster.
	Skipped State = "skipped"
	Failed  State = "failed"
)

// Run runs tests of e2e.test and returns the outcome of each, by its name. A test that fails is not
// an error. The tests' output is in the folder name of the testbed's state folder.
func Run(ctx context.Context, r *run.Run, name string, o Options) (map[string]Outcome, error) {
	dir := filepath.Join(r.Dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	argv := []string{r.Bin.Ginkgo, "--no-color", "--procs=" + strconv.Itoa(o.AtOnce), "--timeout=" + o.Timeout.String(),
		"--output-dir=" + dir, "--json-report=report.json"}
	for _, test := range o.Tests {
		argv = append(argv, "--focus="+test)
	}
	if o.Labels != "" {
		argv = append(argv, "--label-filter="+o.Labels)
	}
	argv = append(argv, r.Bin.E2ETest, "--",
		"--provider=skeleton", "--kubeconfig="+o.Kubeconfig, "--kubectl-path="+o.Kubectl,
		"--allowed-not-ready-nodes=1", // of Cluster.StartLostPod
		"--dump-logs-on-failure=false", "--disable-log-dump")
	p, err := run.Spawn(dir, "e2e.test", argv, "HOME="+dir, "TMPDIR="+dir) // some tests leave files in TMPDIR
	if err != nil {
		return nil, err
	}
	r.OnClose(p.Kill)
	defer p.Kill()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.Done():
	}
	outcomes, err := readReport(filepath.Join(dir, "report.json"))
	if err == nil && len(outcomes) == 0 {
		err = errors.New("no test ran")
	}
	if err != nil {
		return nil, fmt.Errorf("conformance: e2e.test: %w: %s", err, p.Tail())
	}
	return outcomes, nil
}

// suiteReport is the part of Ginkgo's JSON report that readReport uses (types.Report).
type suiteReport struct {
	SpecReports []specReport
}

type specReport struct {
	ContainerHierarchyTexts []string
	LeafNodeType            string
	LeafNodeText            string
	State                   string
	Failure                 struct{ Message string }
}

// readReport returns the outcomes of the tests that ran, by name.
func readReport(path string) (map[string]Outcome, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var suites []suiteReport
	if err := json.Unmarshal(b, &suites); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	outcomes := map[string]Outcome{}
	for _, suite := range suites {
		for _, spec := range suite.SpecReports {
			o := Outcome{State: Failed, Message: spec.Failure.Message}
			switch {
			case spec.State == "pending" || spec.State == "skipped" && o.Message == "":
				continue // not selected
			case spec.State == "passed" || spec.State == "skipped":
				o.State = State(spec.State)
			}
			if spec.LeafNodeType != "It" && o.State != Failed {
				continue // such as BeforeSuite
			}
			outcomes[spec.name()] = o
		}
	}
	return outcomes, nil
}

func (s specReport) name() string {
	if s.LeafNodeType != "It" {
		return "[" + s.LeafNodeType + "]"
	}
	return strings.Join(append(s.ContainerHierarchyTexts, s.LeafNodeText), " ")
}

// Exactly returns a regular expression for Options.Tests that matches one test. Ginkgo puts the
// suite's name before that of the test.
func Exactly(test string) string { return " " + regexp.QuoteMeta(test) + "$" }
