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

// row is one cell of the compatibility matrix with its result.
type row struct {
	Cluster string  `json:"cluster"`
	Path    string  `json:"path"`
	Client  string  `json:"client"`
	Verb    string  `json:"verb"`
	Result  string  `json:"result"`            // resultOK, resultExplained or an error message
	Message string  `json:"message,omitempty"` // edge's explanation
	Seconds float64 `json:"seconds"`
}

const (
	resultOK        = "ok"
	resultExplained = "no: edge explains why, and what to do"
)

// results collects the rows while tests run.
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

// publish prints the table and, if dir is not empty, writes it to that folder. If tests failed,
// publish prints only the failed rows.
func (r *results) publish(w io.Writer, dir string, passed bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rows) == 0 {
		return nil
	}
	// A stable sort keeps the verbs of a client in the order in which they ran.
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
