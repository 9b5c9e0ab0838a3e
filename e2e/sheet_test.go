package e2e

import (
	"fmt"
	"slices"
	"strings"
)

// sheet is the content of docs/compatibility.md. For each client, path and column it has a mark
// (yes, fails, ...), which summarizes the results on both clusters. It also has the messages that
// clients show where an operation cannot work.
type sheet struct {
	marks    map[cell]string
	messages []string
}

type cell struct{ path, client, column string }

const (
	markYes     = "yes"
	markRefused = "error with advice"
	markFails   = "**fails**"
	markDiffers = "**differs**" // the result on one cluster differs from that on the other
)

// pathTitles are the headings in docs/compatibility.md for the paths of the matrix.
var pathTitles = map[string]string{
	direct:   "Directly",
	balanced: "Through a load balancer",
	nginx:    "Through nginx",
	inPods:   "Through a load balancer to edge in pods",
}

const messagesTitle = "Messages of \"error with advice\""

// sheet converts the results of a run into the content of docs/compatibility.md.
func (r *results) sheet() *sheet {
	s := &sheet{marks: map[cell]string{}}
	for _, row := range r.rows {
		mark := markFails
		switch row.Result {
		case resultOK:
			mark = markYes
		case resultExplained:
			mark = markRefused
			s.messages = add(s.messages, row.Message)
		}
		key := cell{row.Path, row.Client, column(row.Verb)}
		if was, ok := s.marks[key]; ok && was != mark {
			mark = markDiffers
		}
		s.marks[key] = mark
	}
	slices.Sort(s.messages)
	return s
}

// column returns the title of the column for a verb (an operation such as exec): the part of its
// name before the comma.
func column(verb string) string {
	name, _, _ := strings.Cut(verb, ",")
	return name
}

// columns returns the titles of the columns in docs/compatibility.md that a client's operations
// need.
func (c client) columns() []string {
	var names []string
	for _, v := range c.verbs {
		names = add(names, column(v.name))
	}
	return names
}

// kin groups clients that have columns in common. Each group gets one table in
// docs/compatibility.md.
func kin(clients []client) [][]client {
	var groups [][]client
	for _, c := range clients {
		shares := func(group []client) bool {
			return slices.ContainsFunc(columnsOf(group), func(name string) bool { return slices.Contains(c.columns(), name) })
		}
		if i := slices.IndexFunc(groups, shares); i >= 0 {
			groups[i] = append(groups[i], c)
		} else {
			groups = append(groups, []client{c})
		}
	}
	return groups
}

// columnsOf returns the titles of the columns in a table of these clients, in the order of their
// first use.
func columnsOf(clients []client) []string {
	var names []string
	for _, c := range clients {
		for _, name := range c.columns() {
			names = add(names, name)
		}
	}
	return names
}

func add(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

// markdown returns the tables and the messages of docs/compatibility.md.
func (s *sheet) markdown() string {
	var b strings.Builder
	for _, path := range matrixPaths {
		fmt.Fprintf(&b, "\n## %s\n", pathTitles[path])
		takes := slices.DeleteFunc(slices.Clone(matrixClients), func(c client) bool { return !c.takes(path) })
		for _, group := range kin(takes) {
			names := columnsOf(group)
			fmt.Fprintf(&b, "\n| client | %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat("---|", 1+len(names)))
			for _, c := range group {
				fmt.Fprintf(&b, "| %s |", c.name())
				for _, name := range names {
					fmt.Fprintf(&b, " %s |", s.marks[cell{path, c.name(), name}])
				}
				b.WriteString("\n")
			}
		}
	}
	fmt.Fprintf(&b, "\n## %s\n\nNAME-attach is a pod's name.\n", messagesTitle)
	for _, message := range s.messages {
		fmt.Fprintf(&b, "\n```\n%s\n```\n", message)
	}
	return b.String()
}

// readSheet parses the text of docs/compatibility.md that the method markdown has written.
func readSheet(text string) *sheet {
	s := &sheet{marks: map[cell]string{}}
	text, messages, _ := strings.Cut(text, "\n## "+messagesTitle+"\n")
	for i, part := range strings.Split(messages, "```\n") {
		if i%2 == 1 {
			s.messages = append(s.messages, strings.TrimSuffix(part, "\n"))
		}
	}
	var path string
	// columns of the current table; nil: the next table line is a heading that contains them
	var names []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Split(strings.Trim(line, "|"), "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		switch {
		case strings.HasPrefix(line, "## "):
			path = line[len("## "):]
			for name, title := range pathTitles {
				if title == path {
					path = name
				}
			}
		case !strings.HasPrefix(line, "|"):
			names = nil
		case names == nil:
			names = fields[1:]
		case len(fields) == 1+len(names):
			for i, mark := range fields[1:] {
				if mark != "" && !strings.HasPrefix(mark, "-") {
					s.marks[cell{path, fields[0], names[i]}] = mark
				}
			}
		}
	}
	return s
}
