package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var updateFlags = flag.Bool("update", false, "TestFlagReference writes docs/flags.md instead of comparing it")

// flagReferenceFile is the document that TestFlagReference writes.
const flagReferenceFile = "../../docs/flags.md"

const flagReferenceHead = `# Flags

Every flag of every edge command, as ` + "`edge COMMAND --help`" + ` prints it. This page is generated:
` + "`go test ./cmd/edge -run TestFlagReference -update`" + ` writes it, and ` + "`make test`" + ` fails if it differs.

The flags of ` + "`edge serve`" + ` have the names and meanings of kube-apiserver (OIDC, serving, audit), kubectl
(API server) and kube-oidc-proxy. [identity.md](identity.md) and [configuration.md](configuration.md) explain
how to use them.
`

// TestFlagReference checks that docs/flags.md has every flag of every command, with its default and
// its help.
func TestFlagReference(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString(flagReferenceHead)
	for _, cmd := range newRootCommand().Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" || len(flagNames(cmd)) == 0 {
			continue
		}
		fmt.Fprintf(&page, "\n## edge %s\n\n%s.\n", cmd.Name(), cmd.Short)
		writeFlagGroups(&page, cmd)
	}
	if *updateFlags {
		if err := os.WriteFile(flagReferenceFile, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(flagReferenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page.String() {
		t.Errorf("docs/flags.md differs from the flags: run go test ./cmd/edge -run TestFlagReference -update")
	}
}

// writeFlagGroups writes the flags of edge serve in the groups of its --help, and those of another
// command in one table.
func writeFlagGroups(page *strings.Builder, cmd *cobra.Command) {
	if cmd.Name() != "serve" {
		writeFlagTable(page, cmd.Flags())
		return
	}
	sets := newOptions().flagSets()
	for _, name := range sets.Order {
		title := strings.ToUpper(name[:1]) + name[1:]
		fmt.Fprintf(page, "\n### %s\n", title)
		writeFlagTable(page, sets.FlagSets[name])
	}
}

func writeFlagTable(page *strings.Builder, flags *pflag.FlagSet) {
	page.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			value = "`" + f.DefValue + "`"
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			kind = " " + kind
		}
		fmt.Fprintf(page, "| `--%s`%s | %s | %s |\n", f.Name, kind, value, strings.ReplaceAll(usage, "|", `\|`))
	})
}
