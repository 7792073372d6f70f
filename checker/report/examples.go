package report

import (
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Lead is how an operation came to its answer: the chain of causes from the event
// in which it was called to that in which it was answered.
type Lead struct {
	Op     int // id
	Events []Event
	// Why is the command that tells the whole chain, from the beginning of the run.
	Why string
}

// Event is one event of a trace.
type Event struct {
	Number  uint64
	At      int64 // virtual ns
	Machine string
	Text    string   // what it is
	Notes   []string // what was sent, reached or logged in it
}

// maxEvents bounds the events that the page shows of one example; events.txt has all.
const maxEvents = 240

// example is one figure of a verdict, with all that is known of its operations.
type example struct {
	checker.Figure
	ID, Check string
	Picture   template.HTML
	Parts     []part
	Events    []eventRow
	More      int // events that are left out
	Why       []fact
	Open      bool
}

// part is an operation that takes part in an example.
type part struct {
	Name, Client, Gateway, Outcome string
	Call, Return, Took             string
	Timestamp                      string
	Err                            string
	Actions                        []string
}

type eventRow struct {
	Event
	Ops   string
	Clock string
}

// examples gathers the figures of all violations. The first is open.
func (p *page) examples(r *Report) error {
	ops := map[int]*history.Op{}
	if r.History != nil {
		for i := range r.History.Ops {
			ops[r.History.Ops[i].ID] = &r.History.Ops[i]
		}
	}
	for i := range p.Checks {
		c := &p.Checks[i]
		if c.Valid != checker.Violation {
			continue
		}
		for j, f := range c.Figures {
			e := example{Figure: f, Check: c.Check, ID: fmt.Sprintf("example-%s-%d", c.Check, j+1), Open: len(p.Examples) == 0}
			if f.SVG != "" {
				if err := harmless(f.SVG); err != nil {
					return fmt.Errorf("picture of %s: %w", f.Name, err)
				}
				e.Picture = template.HTML(f.SVG)
			}
			for _, id := range f.Ops {
				if op := ops[id]; op != nil && !slices.ContainsFunc(e.Parts, func(x part) bool { return x.Name == opName(id) }) {
					e.Parts = append(e.Parts, partOf(op))
				}
			}
			e.lead(r.Leads)
			c.Names = append(c.Names, example{Figure: f, ID: e.ID})
			p.Examples = append(p.Examples, e)
		}
	}
	return nil
}

func opName(id int) string { return fmt.Sprintf("T%d", id) }

func partOf(op *history.Op) part {
	x := part{Name: opName(op.ID), Client: op.Client, Gateway: op.Gateway, Outcome: op.Outcome.String(), Call: history.Clock(op.Call), Return: "no answer", Err: op.Err}
	if op.Return != history.Never {
		x.Return = history.Clock(op.Return)
		x.Took = fmt.Sprintf("%.3g ms", float64(op.Return-op.Call)/float64(time.Millisecond))
	}
	if !op.TS.IsZero() {
		x.Timestamp = op.TS.String()
	}
	if op.Stale {
		x.Outcome += ", reads the past"
	}
	for _, a := range op.Actions {
		x.Actions = append(x.Actions, a.String())
	}
	return x
}

// lead merges the events of the example's operations in the order in which they
// happened. One that is on the way of several is told once.
func (e *example) lead(leads []Lead) {
	for _, l := range leads {
		if !slices.Contains(e.Ops, l.Op) {
			continue
		}
		if l.Why != "" {
			e.Why = append(e.Why, fact{opName(l.Op), l.Why})
		}
		for _, ev := range l.Events {
			e.Events = append(e.Events, eventRow{Event: ev, Ops: opName(l.Op), Clock: history.Clock(ev.At)})
		}
	}
	slices.SortStableFunc(e.Events, func(a, b eventRow) int {
		switch {
		case a.Number < b.Number:
			return -1
		case a.Number > b.Number:
			return 1
		}
		return 0
	})
	var merged []eventRow
	for _, ev := range e.Events {
		if n := len(merged); n > 0 && merged[n-1].Number == ev.Number {
			merged[n-1].Ops += " " + ev.Ops
			continue
		}
		merged = append(merged, ev)
	}
	if e.More = len(merged) - maxEvents; e.More > 0 {
		merged = merged[e.More:]
	}
	e.Events = merged
}

// drawn are the elements that a picture may have.
var drawn = [...]string{"svg", "g", "path", "rect", "text", "title"}

// harmless refuses a picture that is more than a drawing: it stands in the page as
// it is, and what a history holds must never become markup.
func harmless(svg string) error {
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if !slices.Contains(drawn[:], start.Name.Local) {
			return fmt.Errorf("a picture has no <%s>", start.Name.Local)
		}
		for _, a := range start.Attr {
			name := strings.ToLower(a.Name.Local)
			if strings.HasPrefix(name, "on") || name == "href" || name == "style" || name == "id" {
				return fmt.Errorf("a picture has no attribute %s", a.Name.Local)
			}
		}
	}
}

// writeLeads prints all leads as text.
func writeLeads(w io.Writer, leads []Lead) error {
	var b strings.Builder
	for i, l := range leads {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s, from its call to its answer\n", opName(l.Op))
		if l.Why != "" {
			fmt.Fprintf(&b, "  %s\n", l.Why)
		}
		for _, e := range l.Events {
			fmt.Fprintf(&b, "  %s event %d %s: %s\n", history.Clock(e.At), e.Number, e.Machine, e.Text)
			for _, n := range e.Notes {
				fmt.Fprintf(&b, "      %s\n", n)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
