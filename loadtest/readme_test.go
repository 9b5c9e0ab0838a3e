package main

import (
	"io"
	"os"
	"regexp"
	"testing"
)

// TestReadme checks that loadtest has every flag that docs/loadtest.md names. Lines with a kubectl
// command name flags of kubectl.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../docs/loadtest.md")
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^\$ kubectl .*$`).ReplaceAll(text, nil)
	named := regexp.MustCompile(`--([a-z][a-z0-9-]*[a-z0-9])[^-a-z0-9]`).FindAllSubmatch(text, -1)
	if len(named) < 10 {
		t.Errorf("only %d flags were found", len(named))
	}
	cmd := newCommand(io.Discard)
	for _, m := range named {
		if name := string(m[1]); name != "help" && cmd.Flags().Lookup(name) == nil {
			t.Errorf("loadtest has no flag --%s", name)
		}
	}
}
