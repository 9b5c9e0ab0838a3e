package main

import (
	"fmt"
	"math"
	"strings"
)

// chart is a set of lines with a common time axis, for an SVG picture.
type chart struct {
	title, unit string
	lines       []line
}

// line is one line of a chart: a name, and one value for each time.
type line struct {
	name   string
	values []float64
}

// Sizes in the charts, in units of the SVG's viewBox. A unit is a pixel if the picture is not
// scaled.
const (
	pictureWidth = 860
	chartHeight  = 150
	chartGap     = 60
	leftMargin   = 70
	rightMargin  = 30
	topMargin    = 70
	yTicks       = 4
	xTicks       = 8
)

// style is the CSS of the charts, which are readable on light and dark backgrounds. The classes c0
// to c3 and t0 to t3 are the colours of a chart's lines, in the order of the lines.
const style = `<style>
text{font:12px sans-serif;fill:#333}.h{font-weight:bold}.g{stroke:#ccc}.l{fill:none;stroke-width:1.5}
.c0{stroke:#0072b2}.c1{stroke:#d55e00}.c2{stroke:#009e73}.c3{stroke:#cc79a7}
.t0{fill:#0072b2}.t1{fill:#d55e00}.t2{fill:#009e73}.t3{fill:#cc79a7}
@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#555}.c0{stroke:#56b4e9}.t0{fill:#56b4e9}}
</style>
`

const colours = 4

// drawSVG draws the charts, each below the previous one. x contains the times of all values, in
// seconds.
func drawSVG(title string, x []float64, charts []chart) string {
	var b strings.Builder
	height := topMargin + len(charts)*(chartHeight+chartGap)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">`+"\n%s", pictureWidth, height, style)
	fmt.Fprintf(&b, `<title>%[1]s</title><text class="h" x="%[2]d" y="24">%[1]s</text>`+"\n", plain.Replace(title), leftMargin)
	for i, c := range charts {
		c.draw(&b, x, float64(topMargin+i*(chartHeight+chartGap)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c *chart) draw(b *strings.Builder, x []float64, top float64) {
	const width = pictureWidth - leftMargin - rightMargin
	greatest, last := 0.0, 0.0
	for _, l := range c.lines {
		for _, v := range l.values {
			greatest = max(greatest, v)
		}
	}
	if len(x) > 0 {
		last = x[len(x)-1]
	}
	yStep, xStep := niceStep(greatest/yTicks), niceStep(last/xTicks)
	yTop := yStep * math.Max(1, math.Ceil(greatest/yStep))
	xEnd := math.Max(last, xStep)
	xAt := func(v float64) float64 { return leftMargin + width*v/xEnd }
	yAt := func(v float64) float64 { return top + chartHeight*(1-v/yTop) }

	heading := c.title
	if c.unit != "" {
		heading += ", " + c.unit
	}
	fmt.Fprintf(b, `<text class="h" x="%d" y="%.0f">%s</text>`, leftMargin, top-10, plain.Replace(heading))
	for v := 0.0; v <= yTop*1.0001; v += yStep {
		fmt.Fprintf(b, `<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text text-anchor="end" x="%d" y="%.1f">%s</text>`,
			leftMargin, leftMargin+width, yAt(v), yAt(v), leftMargin-6, yAt(v)+4, digits(v))
	}
	for v := 0.0; v <= xEnd*1.0001; v += xStep {
		fmt.Fprintf(b, `<text text-anchor="middle" x="%.1f" y="%.0f">%s s</text>`, xAt(v), top+chartHeight+16, digits(v))
	}
	legend := leftMargin + 180
	for i, l := range c.lines {
		colour := i % colours
		fmt.Fprintf(b, `<text class="t%d" x="%d" y="%.0f">%s</text>`, colour, legend, top-10, plain.Replace(l.name))
		legend += 20 + 8*len(l.name)
		fmt.Fprintf(b, `<polyline class="l c%d" points="`, colour)
		for n, v := range l.values {
			fmt.Fprintf(b, "%.1f,%.1f ", xAt(x[n]), yAt(v))
		}
		b.WriteString(`"/>`)
	}
	b.WriteString("\n")
}

// niceStep returns the smallest number not below v that is 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= v {
			return times * power
		}
	}
	return 10 * power
}

// plain escapes text for XML.
var plain = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
