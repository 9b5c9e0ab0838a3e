package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The README's compatibility table, a summary of docs/compatibility.md, is between the lines
// readmeBegin and readmeEnd.
const (
	readmeFile  = "../README.md"
	readmeBegin = "<!-- compatibility: docs/compatibility.md in short; make test fails if it differs -->\n"
	readmeEnd   = "<!-- end of compatibility -->\n"
)

// summary returns the README's compatibility table. Consecutive clients that differ only in their
// release share a row.
func (s *sheet) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| client | %s |\n|%s\n", strings.Join(matrixPaths, " | "), strings.Repeat("---|", 1+len(matrixPaths)))
	for i := 0; i < len(matrixClients); {
		c := matrixClients[i]
		var releases []string
		for ; i < len(matrixClients) && matrixClients[i].family == c.family && matrixClients[i].how == c.how && s.line(matrixClients[i]) == s.line(c); i++ {
			releases = append(releases, matrixClients[i].release)
		}
		c.release = strings.Join(releases, ", ")
		fmt.Fprintf(&b, "| %s | %s |\n", c.name(), s.line(matrixClients[i-1]))
	}
	return b.String()
}

// line returns the row of a client in the README's compatibility table, with one cell per path.
func (s *sheet) line(c client) string {
	var short []string
	for _, path := range matrixPaths {
		short = append(short, s.short(c, path))
	}
	return strings.Join(short, " | ")
}

func (s *sheet) short(c client, path string) string {
	if !c.takes(path) {
		return "not needed"
	}
	columns := c.columns()
	others := slices.DeleteFunc(slices.Clone(columns), func(name string) bool { return s.marks[cell{path, c.name(), name}] == markYes })
	if len(others) == 0 {
		return markYes
	}
	mark := s.marks[cell{path, c.name(), others[0]}]
	if len(others) == len(columns) {
		return mark
	}
	return strings.Join(others, ", ") + ": " + mark
}

func (s *sheet) checkReadme() error {
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	_, shown, _, err := cut(string(text), readmeBegin, readmeEnd)
	if err == nil && shown != s.summary() {
		err = errors.New("README.md: the table between the compatibility marks differs from the summary of docs/compatibility.md")
	}
	return err
}

func (s *sheet) writeReadme() error { return replaceInReadme(readmeBegin, readmeEnd, s.summary()) }

// cut returns the part of a text between the lines begin and end, and what is before and after them.
func cut(text, begin, end string) (before, shown, after string, err error) {
	before, rest, ok := strings.Cut(text, begin)
	shown, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		err = fmt.Errorf("the lines %q and %q are missing", begin, end)
	}
	return before, shown, after, err
}

// replaceInReadme replaces the part of the README between the lines begin and end.
func replaceInReadme(begin, end, with string) error {
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		return err
	}
	before, _, after, err := cut(string(text), begin, end)
	if err != nil {
		return fmt.Errorf("README.md: %w", err)
	}
	return os.WriteFile(readmeFile, []byte(before+begin+with+end+after), 0o644)
}
