package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// row is the result of one cell of the compatibility matrix: of one client's operation on one path
// to one cluster.
type row struct {
	Cluster string `json:"cluster"`
	Path    string `json:"path"`
	Client  string `json:"client"`
	Verb    string `json:"verb"`
	Result  string `json:"result"` // resultOK, resultExplained, or an error message
	// message with which edge explained why the operation cannot work; empty: none
	Message string  `json:"message,omitempty"`
	Seconds float64 `json:"seconds"`
}

const (
	resultOK        = "ok"
	resultExplained = "no: edge explains why, and what to do"
)

// results collects the rows (results of the compatibility matrix) while the tests run.
type results struct {
	mu   sync.Mutex
	rows []row
}

var table results

func (r *results) add(row row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
}

// publish prints a table of the results; if tests failed, it prints only the failed rows. If dir is
// not empty, publish also writes the whole table to files in that folder.
func (r *results) publish(w io.Writer, dir string, passed bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) == 0 {
		return nil
	}
	// The sort is stable, so that the operations of a client stay in the order in which they ran.
	slices.SortStableFunc(r.rows, func(a, b row) int {
		return strings.Compare(a.Cluster+"\x00"+a.Path+"\x00"+a.Client, b.Cluster+"\x00"+b.Path+"\x00"+b.Client)
	})
	text := markdown(r.rows)
	if passed {
		fmt.Fprintf(w, "\n%s\n", text)
	} else if wrong := slices.DeleteFunc(slices.Clone(r.rows), row.asItShould); len(wrong) > 0 {
		fmt.Fprintf(w, "\n%s\n", markdown(wrong))
	}
	if dir == "" {
		return nil
	}
	b, err := json.MarshalIndent(r.rows, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "compatibility.json"), append(b, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "compatibility.md"), []byte(text), 0o644),
	)
}

func (r row) asItShould() bool { return r.Result == resultOK || r.Result == resultExplained }

func markdown(rows []row) string {
	cells := [][]string{{"cluster", "path", "client", "verb", "result", "s"}}
	for _, row := range rows {
		result, _, _ := strings.Cut(row.Result, "\n")
		if len(result) > 100 {
			result = result[:100] + "..."
		}
		cells = append(cells, []string{row.Cluster, row.Path, row.Client, row.Verb, result, fmt.Sprintf("%.1f", row.Seconds)})
	}
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], len(c))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		for i, c := range line {
			fmt.Fprintf(&b, "| %-*s ", widths[i], c)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
