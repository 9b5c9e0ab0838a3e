package main

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// Sizes in a chart, in pixels. Labels are at the left, bars grow to the right, and values are at
// the right.
const (
	chartWidth  = 720
	labelWidth  = 210
	valueWidth  = 150
	titleHeight = 30
	rowHeight   = 22
	barHeight   = 12
	capHeight   = 8 // height of the short lines at both ends of a whisker
	panelGap    = 14
)

// chartStyle is the CSS of the charts. They are readable on light and dark backgrounds, because the
// colours depend on the reader's setting (prefers-color-scheme).
const chartStyle = `text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.unit,.spread{fill:#59636e}` +
	`.bar{fill:#afb8c1}.edge{fill:#0969da}.line{stroke:#1f2328;fill:none}.mark{stroke:#cf222e;stroke-dasharray:3 3}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.unit,.spread{fill:#9198a1}.bar{fill:#57606a}.edge{fill:#4493f8}` +
	`.line{stroke:#e6edf3}.mark{stroke:#f85149}}`

// panel is the part of a chart that shows one measure, with one bar for each row. All bars of a
// panel have the same scale, which begins at 0.
type panel struct {
	title, unit string
	mark        float64 // value at which a vertical line is drawn; 0: no line
	rows        []row
}

// row is one bar of a panel. It has a whisker (a thin line) from the smallest to the largest
// sample.
type row struct {
	label string
	ours  bool // draw the bar in the colour of edge
	summary
}

// drawChart returns an SVG document with the panels one below the other.
func drawChart(name string, panels []panel) []byte {
	var body bytes.Buffer
	y := 0
	for _, p := range panels {
		y = p.draw(&body, y) + panelGap
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" `+
		`aria-label="%s">`+"\n", chartWidth, y, chartWidth, y, html.EscapeString(name))
	fmt.Fprintf(&out, "<style>%s</style>\n%s</svg>\n", chartStyle, &body)
	return out.Bytes()
}

// draw draws the panel. y is the vertical position of its upper end; draw returns that of its lower
// end.
func (p panel) draw(w *bytes.Buffer, y int) int {
	fmt.Fprintf(w, `<text class="title" x="0" y="%d">%s <tspan class="unit" font-weight="400">%s</tspan></text>`+"\n",
		y+titleHeight-10, html.EscapeString(p.title), html.EscapeString(p.unit))
	top := y + titleHeight
	scale := p.scale()
	for i, r := range p.rows {
		r.draw(w, top+i*rowHeight, scale)
	}
	bottom := top + len(p.rows)*rowHeight
	if p.mark > 0 {
		x := labelWidth + p.mark*scale
		fmt.Fprintf(w, `<path class="mark" d="M%.1f %dV%d"/>`+"\n", x, top, bottom)
	}
	return bottom
}

// scale returns the pixels per unit of a value, so that the greatest value reaches the right end of
// the bars.
func (p panel) scale() float64 {
	greatest := p.mark
	for _, r := range p.rows {
		greatest = max(greatest, r.Max)
	}
	if greatest <= 0 {
		return 0
	}
	return (chartWidth - labelWidth - valueWidth) / greatest
}

func (r row) draw(w *bytes.Buffer, y int, scale float64) {
	class := "bar"
	if r.ours {
		class += " edge"
	}
	at := func(v float64) float64 { return labelWidth + max(v, 0)*scale }
	middle := y + rowHeight/2
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, middle+4, html.EscapeString(r.label))
	fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`, class, labelWidth, middle-barHeight/2,
		at(r.Median)-labelWidth, barHeight)
	fmt.Fprintf(w, `<path class="line" d="M%.1f %dH%.1f`, at(r.Min), middle, at(r.Max))
	for _, end := range []float64{r.Min, r.Max} {
		fmt.Fprintf(w, "M%.1f %dv%d", at(end), middle-capHeight/2, capHeight)
	}
	fmt.Fprintf(w, `"/><text x="%.1f" y="%d">%s <tspan class="spread">%s</tspan></text>`+"\n",
		at(r.Max)+8, middle+4, digits(r.Median), strings.ReplaceAll(r.spread(), " - ", "–"))
}
