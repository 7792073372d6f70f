package graph

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"simulacrum/checker/history"
)

// The measures of a picture, in pixels.
const (
	lineHeight = 16
	charWidth  = 7.3
	boxPadding = 10
	maxLabel   = 46 // characters of one line in a box
	maxLines   = 9  // lines of one box
)

// box is a transaction in the picture.
type box struct {
	id    int
	lines []line
	x, y  float64 // the middle
	w, h  float64
}

// line is one line of a box. Its class is head, quiet, or act; a page may colour
// them.
type line struct{ class, text string }

func (l line) fill() string {
	if l.class == "quiet" {
		return "#777"
	}
	return "#222"
}

// SVG draws a cycle: its transactions as boxes with what they did, around a ring in
// the order of the cycle, and its edges with their kinds and keys; what a
// transaction did at keys that no edge of its own names is grey. It is one svg
// element without links, scripts or ids, so that a page may hold many; each box has
// data-op, by which a page can lead on to the operation.
func SVG(h *history.History, c *Cycle) string {
	boxes := boxesOf(h, c)
	w, ht := layout(boxes)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="cycle" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="ui-monospace,monospace" font-size="12" role="img">`, w, ht, w, ht)
	fmt.Fprintf(&b, "<title>%s</title>", html.EscapeString(c.Name))
	for i, e := range c.Edges {
		drawEdge(&b, &boxes[i], &boxes[(i+1)%len(boxes)], e)
	}
	for i := range boxes {
		drawBox(&b, &boxes[i])
	}
	b.WriteString("</svg>")
	return b.String()
}

func boxesOf(h *history.History, c *Cycle) []box {
	ops := map[int]*history.Op{}
	for i := range h.Ops {
		ops[h.Ops[i].ID] = &h.Ops[i]
	}
	var out []box
	for i, e := range c.Edges {
		before := c.Edges[(i+len(c.Edges)-1)%len(c.Edges)]
		n := box{id: e.From, lines: []line{{"head", fmt.Sprintf("T%d", e.From)}}}
		if op := ops[e.From]; op != nil {
			n.lines = linesOf(op, e.Key, before.Key)
		}
		longest := 0
		for i, l := range n.lines {
			n.lines[i].text = clip(l.text)
			longest = max(longest, len([]rune(n.lines[i].text)))
		}
		n.w = float64(longest)*charWidth + 2*boxPadding
		n.h = float64(len(n.lines)*lineHeight) + 2*boxPadding
		out = append(out, n)
	}
	return out
}

// linesOf tells of a transaction who ran it, when, at which timestamp, and what it
// did.
func linesOf(op *history.Op, keys ...string) []line {
	head := strings.TrimSpace(fmt.Sprintf("T%d  %s %s", op.ID, op.Client, op.Gateway))
	if op.Outcome != history.OK {
		head += " (" + op.Outcome.String() + ")"
	}
	out := []line{{"head", head}, {"quiet", history.Clock(op.Call) + " … " + history.Clock(op.Return)}}
	if !op.TS.IsZero() {
		out = append(out, line{"quiet", "@" + op.TS.String()})
	}
	acts := func(a history.Action) bool { return a.F == history.Scan || slices.Contains(keys, a.Key) }
	only := len(out)+len(op.Actions) > maxLines // then there is room for what matters alone
	left := 0
	for _, a := range op.Actions {
		switch {
		case len(out) >= maxLines || only && !acts(a):
			left++
		case acts(a):
			out = append(out, line{"act", a.String()})
		default:
			out = append(out, line{"quiet", a.String()})
		}
	}
	if left > 0 {
		out = append(out, line{"quiet", fmt.Sprintf("… %d more", left)})
	}
	return out
}

// clip keeps the beginning and the end of a long line: the end of a list is what a
// cycle turns on.
func clip(s string) string {
	r := []rune(s)
	if len(r) <= maxLabel {
		return s
	}
	return string(r[:maxLabel/2-1]) + " … " + string(r[len(r)-maxLabel/2+2:])
}

// layout puts the boxes on a ring (two beside each other) and returns the size of
// the whole.
func layout(boxes []box) (w, h float64) {
	const gap, margin = 190, 46
	var wide, high float64
	for i := range boxes {
		wide, high = max(wide, boxes[i].w), max(high, boxes[i].h)
	}
	n := float64(len(boxes))
	// Neighbours on the ring are a chord apart, which must hold a box and a label.
	rx := (wide + gap) / (2 * math.Sin(math.Pi/n))
	ry := (high + gap/2) / (2 * math.Sin(math.Pi/n))
	if len(boxes) == 2 {
		ry = 0
	}
	left, top, right, bottom := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for i := range boxes {
		b := &boxes[i]
		angle := math.Pi + 2*math.Pi*float64(i)/n
		b.x, b.y = rx*math.Cos(angle), ry*math.Sin(angle)
		left, right = min(left, b.x-b.w/2), max(right, b.x+b.w/2)
		top, bottom = min(top, b.y-b.h/2), max(bottom, b.y+b.h/2)
	}
	// An odd number of boxes leaves a part of the ring empty: it is cut off.
	for i := range boxes {
		boxes[i].x += margin - left
		boxes[i].y += margin - top
	}
	return right - left + 2*margin, bottom - top + 2*margin
}

func colour(k Kind) string {
	switch k {
	case WW:
		return "#8a2be2"
	case WR:
		return "#1f6fb2"
	case RW:
		return "#c0392b"
	}
	return "#6b6b6b"
}

// drawEdge bends each edge to its left, so that the two edges of a pair part.
func drawEdge(b *strings.Builder, from, to *box, e Edge) {
	dx, dy := to.x-from.x, to.y-from.y
	length := math.Hypot(dx, dy)
	ux, uy := dx/length, dy/length
	bend := 34.0
	cx, cy := (from.x+to.x)/2+uy*bend, (from.y+to.y)/2-ux*bend
	x1, y1 := from.edgeTowards(cx, cy)
	x2, y2 := to.edgeTowards(cx, cy)
	c := colour(e.Kind)
	dash := ""
	if e.Kind == Session || e.Kind == RealTime {
		dash = ` stroke-dasharray="5 4"`
	}
	fmt.Fprintf(b, `<g class="edge %s">`, e.Kind)
	fmt.Fprintf(b, "<title>%s</title>", html.EscapeString(e.Text))
	fmt.Fprintf(b, `<path d="M%.1f %.1fQ%.1f %.1f %.1f %.1f" fill="none" stroke="%s" stroke-width="1.6"%s/>`, x1, y1, cx, cy, x2, y2, c, dash)
	// The head of the arrow lies along the end of the curve.
	ax, ay := x2-cx, y2-cy
	al := max(1, math.Hypot(ax, ay))
	ax, ay = ax/al*10, ay/al*10
	fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1fL%.1f %.1fZ" fill="%s"/>`, x2, y2, x2-ax+ay*0.4, y2-ay-ax*0.4, x2-ax-ay*0.4, y2-ay+ax*0.4, c)
	label := e.Kind.String()
	if e.Key != "" {
		label += " " + e.Key
	}
	// The label stands outside of the bend.
	lx, ly := (x1+2*cx+x2)/4+uy*10, (y1+2*cy+y2)/4-ux*10+4
	anchor := "middle"
	if math.Abs(uy) > 0.7 {
		anchor = "start"
		if uy < 0 {
			anchor = "end"
		}
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text></g>`, lx, ly, anchor, c, html.EscapeString(clip(label)))
}

// edgeTowards is where a line from the middle to a point leaves the box.
func (n *box) edgeTowards(x, y float64) (float64, float64) {
	dx, dy := x-n.x, y-n.y
	t := math.Inf(1)
	if dx != 0 {
		t = min(t, n.w/2/math.Abs(dx))
	}
	if dy != 0 {
		t = min(t, n.h/2/math.Abs(dy))
	}
	if t > 1 {
		t = 1
	}
	return n.x + dx*t, n.y + dy*t
}

func drawBox(b *strings.Builder, n *box) {
	left, top := n.x-n.w/2, n.y-n.h/2
	fmt.Fprintf(b, `<g class="txn" data-op="%d"><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="6" fill="#fff" stroke="#333"/>`, n.id, left, top, n.w, n.h)
	for i, l := range n.lines {
		weight := ""
		if l.class == "head" {
			weight = ` font-weight="bold"`
		}
		fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" fill="%s"%s xml:space="preserve">%s</text>`, l.class, left+boxPadding, top+boxPadding+float64(i*lineHeight)+11, l.fill(), weight, html.EscapeString(l.text))
	}
	b.WriteString("</g>")
}
