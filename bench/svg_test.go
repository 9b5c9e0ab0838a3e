package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestChartsAreWellFormedAndHaveEachFigure(t *testing.T) {
	r := &report{}
	down := transferMeasure("down", maxWrite)
	r.rounds("edge", down, 1, 2, 4)
	r.rounds("<relay>", down, 8)
	r.rounds("edge", keystrokeP50, 0) // all values are 0, so the scale of the panel is 0 too
	r.addPair(lane{proxy: &proxy{label: "relay exec/v5"}}, reading{down, 2})
	r.addPair(lane{proxy: &proxy{label: "exec/v5/v5"}, relay: "relay exec/v5"}, reading{down, 3})
	r.finish(time.Now())
	dir := filepath.Join(t.TempDir(), "new")
	if err := writeCharts(dir, r); err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		// Bars begin at x=210. The bar of the greatest value, 8, is 360 pixels wide, so the bar of
		// the median 2 is 90 pixels wide.
		"down.svg":       {"edge", "<relay>", "2.00", "1.00–4.00", `x="210" y="35" width="90.0"`, "M255.0 41H390.0"},
		"keystroke.svg":  {"p50 us", `width="0.0"`},
		"pairs-down.svg": {"exec/v5/v5", "x relay", "1.50", `class="mark" d="M450.0 30V52"`},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		said := string(text) + characters(t, text)
		for _, want := range wants {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in %s:\n%s", want, name, text)
			}
		}
		if strings.Contains(said, "NaN") || strings.Contains(said, "Inf") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// characters returns the text between the tags of an SVG document, which must be well-formed.
func characters(t *testing.T, document []byte) string {
	t.Helper()
	var all strings.Builder
	decoder := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		if text, ok := token.(xml.CharData); ok {
			all.Write(text)
		}
	}
}
