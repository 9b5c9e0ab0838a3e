package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// limitName matches the names of constants that are limits.
var limitName = regexp.MustCompile(`^(?i:max|most)[A-Z]\w+$`)

// noLimits are constants whose name matches limitName, but which do not limit clients. They are
// sizes of what edge itself sends, and limits for answers to edge's own requests or for an
// administrator's files.
var noLimits = strings.Fields(`
	maxErrorBytes maxConfigBytes maxQuotedBytes maxListed maxReadyProblems maxCAFileBytes maxDocumentBytes maxDocumentHeaderBytes
	maxKeys maxRedirects maxConfigErrorBytes maxQuoted maxShown maxConstrainedAnswer maxExplained maxVersion maxReplies maxLayers
	MaxData maxEmptyReads MaxNeed maxHeader maxText MaxPortReply maxBlock maxCarry maxRefused maxInFlight maxTokenLifetime maxStack
	MaxHeld maxAnswer MaxSpares mostAge maxEvents maxWhole maxShift maxOpen mostFailures`)

// TestLimitsAreInTheDocs checks that docs/limits.md lists each constant that can refuse or cut
// something of a client, and that every name in it exists in the code.
func TestLimitsAreInTheDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range noLimits {
		known[name] = true
	}
	names := map[string]bool{}
	for _, room := range []string{"authn", "impersonate", "bridge", "streams", "serving", "audit", "cmd/edge", "ops", "internal/metric"} {
		err := filepath.WalkDir("../../"+room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					names[f.Name.Name] = true
				}
				constants, ok := decl.(*ast.GenDecl)
				if !ok || constants.Tok != token.CONST {
					continue
				}
				for _, spec := range constants.Specs {
					for _, ident := range spec.(*ast.ValueSpec).Names {
						names[ident.Name] = true
						if limitName.MatchString(ident.Name) && !known[ident.Name] && !strings.Contains(string(text), "`"+ident.Name+"`") {
							t.Errorf("%s: %s is not in docs/limits.md", path, ident.Name)
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, found := range regexp.MustCompile("`([a-zA-Z]+)`").FindAllStringSubmatch(string(text), -1) {
		if name := found[1]; name != "Status" && !names[name] && name != strings.ToUpper(name) {
			t.Errorf("docs/limits.md: nothing in the code is called %s", name)
		}
	}
}
