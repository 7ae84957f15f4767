package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
)

// figure is what one line of probe said.
type figure struct {
	transport      string
	checks         float64
	seconds, bytes float64
}

// The plot: two panels side by side, sizes to the right in powers of ten.
const (
	panelWidth, panelHeight = 300.0, 200.0
	margin                  = 60.0
	smallest, largest       = 3.0, 5.0 // powers of ten of the number of checks
)

var colours = map[string]string{"udp": "#1f6feb", "tcp": "#bf3989"}

// plot draws time and memory over the number of checks, each axis so that a
// straight line is linear growth: time is logarithmic, memory is a check's own.
func plot(in io.Reader, out io.Writer) error {
	var figures []figure
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var f figure
		var sent, rate float64
		if _, err := fmt.Sscanf(lines.Text(), "transport=%s checks=%f sent=%f seconds=%f rate=%f bytes=%f",
			&f.transport, &f.checks, &sent, &f.seconds, &rate, &f.bytes); err != nil {
			return fmt.Errorf("%q: expected a line of probe's: %w", lines.Text(), err)
		}
		figures = append(figures, f)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" font-family="sans-serif" font-size="11">`+"\n",
		2*(panelWidth+2*margin), panelHeight+2*margin)
	panel(&b, 0, "seconds for all checks", []float64{0.01, 0.1, 1, 10, 100}, figures,
		func(f figure) float64 { return f.seconds }, func(v float64) float64 { return (math.Log10(v) + 2) / 4 })
	panel(&b, panelWidth+2*margin, "octets a check", []float64{0, 512, 1024, 1536, 2048}, figures,
		func(f figure) float64 { return f.bytes }, func(v float64) float64 { return min(v/2048, 1) })
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// panel draws one of them: value reads a figure, height turns a value into a
// share of the panel's.
func panel(b *strings.Builder, left float64, title string, ticks []float64, figures []figure, value func(figure) float64, height func(float64) float64) {
	x := func(checks float64) float64 {
		return left + margin + panelWidth*(math.Log10(checks)-smallest)/(largest-smallest)
	}
	y := func(v float64) float64 { return margin + panelHeight*(1-height(v)) }
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-size="13">%s</text>`+"\n", left+margin, margin-20, title)
	for _, t := range ticks {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%.1f" y="%.1f" text-anchor="end">%g</text>`+"\n",
			left+margin, left+margin+panelWidth, y(t), y(t), left+margin-6, y(t)+4, t)
	}
	for p := smallest; p <= largest; p++ {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%.0f checks</text>`+"\n", x(math.Pow(10, p)), margin+panelHeight+18, math.Pow(10, p))
	}
	for i, transport := range []string{"udp", "tcp"} {
		var points []string
		for _, f := range figures {
			if f.transport == transport {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(f.checks), y(value(f))))
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(f.checks), y(value(f)), colours[transport])
			}
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" points="%s"/>`+"\n", colours[transport], strings.Join(points, " "))
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", left+margin+10+40*float64(i), margin+14, colours[transport], strings.ToUpper(transport))
	}
}
