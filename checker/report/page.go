package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page, its style and its script are files beside this one
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"sort"
	"strings"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

//go:embed assets/page.html
var pageHTML string

//go:embed assets/page.css
var pageCSS string

//go:embed assets/page.js
var pageJS string

//go:embed assets/uPlot.iife.min.js
var plotJS string

//go:embed assets/uPlot.min.css
var plotCSS string

// page is what the template sees: text, already decided.
type page struct {
	Policy           template.HTMLAttr
	Style            template.CSS
	Plot, Script     template.JS
	Data             template.JS
	R                *Report
	Valid            string
	Glyph            string
	Headline, Reason string
	Facts            []fact
	Checks           []checkRow
	Examples         []example
	Charts, Marked   bool
	PointsNote       string
	Rows             []timelineRow
	Ticks            []tick
	Families         []string
	Faults           []faultRow
	Idle             int
	Regions          []region
	Kinds            []kindRow
	Errors           []errorRow
	MoreErrors       int
	Operations       int
	Places           *places
	NeverReached     []Probe
	Reached          int
	Files            []fact
}

type fact struct{ Name, Value string }

type checkRow struct {
	checker.Verdict
	Glyph string
	Open  bool
	Ops   string
	Parts []detail
	Names []example // what is shown of it below
}

// detail is an explanation: a sentence, and the operations it quotes.
type detail struct {
	Text  string
	Lines []string
}

type faultRow struct {
	Fault
	Class, From, To, On string
}

type region struct {
	Name  string
	Zones []zone
}

type zone struct {
	Name  string
	Nodes []Node
}

// HTML writes the page. It contains its style, script and data, and asks for
// nothing else.
func (r *Report) HTML(w io.Writer) error {
	s := r.series()
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	p := &page{R: r, Style: template.CSS(plotCSS + "\n" + pageCSS), Plot: template.JS(plotJS), Script: template.JS(pageJS), Data: template.JS(data)}
	p.Policy = policy(string(p.Style), string(p.Plot), string(p.Script))
	p.verdict(r)
	if err := p.examples(r); err != nil {
		return err
	}
	p.facts(r)
	p.Charts, p.Marked = s.Of > 0, len(s.Marks) > 0
	p.PointsNote = fmt.Sprintf("All %s answered operations are drawn.", thousands(s.Of))
	if s.Shown < s.Of {
		p.PointsNote = fmt.Sprintf("%s of %s answered operations are drawn: the slowest of each outcome in each thousandth of the run, and of the rest every n-th.", thousands(s.Shown), thousands(s.Of))
	}
	p.Kinds, p.Errors, p.Operations = r.operations()
	if len(p.Errors) > 8 {
		p.MoreErrors = len(p.Errors) - 8
		p.Errors = p.Errors[:8]
	}
	p.Rows, p.Ticks = r.timeline(), ticks(r.span())
	p.faults(r)
	p.regions(r)
	p.places(r)
	for _, probe := range r.Probes {
		if probe.Count == 0 {
			p.NeverReached = append(p.NeverReached, probe)
		} else {
			p.Reached++
		}
	}
	p.files(r)
	t, err := template.New("page").Funcs(template.FuncMap{"thousands": thousands, "millis": millis, "clock": history.Clock, "isID": func(s string) string { return "check-" + s }}).Parse(pageHTML)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// policy allows the inline blocks by their hashes and nothing else: no network,
// no frames, no forms, no script that a history smuggled in.
func policy(style string, scripts ...string) template.HTMLAttr {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	src := make([]string, len(scripts))
	for i, s := range scripts {
		src[i] = hash(s)
	}
	return template.HTMLAttr(fmt.Sprintf(`content="default-src 'none'; script-src %s; style-src %s; base-uri 'none'; form-action 'none'"`, strings.Join(src, " "), hash(style)))
}

func glyph(v checker.Valid) string {
	switch v {
	case checker.OK:
		return "✓"
	case checker.Violation:
		return "✕"
	case checker.Vacuous:
		return "∅"
	}
	return "?"
}

// named tells whether a verdict has anomalies by name to show.
func named(v *checker.Verdict) bool { return len(v.Figures) > 0 && v.Figures[0].Doc != "" }

// verdict fills the first line and the table of checks, worst first, and of those
// before others the ones that name anomalies.
func (p *page) verdict(r *Report) {
	worst := checker.Worst(r.Verdicts...)
	p.Valid, p.Glyph = worst.String(), glyph(worst)
	p.Headline = map[checker.Valid]string{checker.OK: "No violation found", checker.Violation: "Violation", checker.Unknown: "Not decided", checker.Vacuous: "Too little happened"}[worst]
	vs := append([]checker.Verdict{}, r.Verdicts...)
	sort.SliceStable(vs, func(i, j int) bool {
		if vs[i].Valid == vs[j].Valid {
			return named(&vs[i]) && !named(&vs[j])
		}
		return checker.Worst(vs[i], vs[j]) == vs[i].Valid
	})
	for _, v := range vs {
		row := checkRow{Verdict: v, Glyph: glyph(v.Valid), Open: v.Valid != checker.OK}
		for _, d := range v.Details {
			text, rest, _ := strings.Cut(d, "\n")
			part := detail{Text: text}
			for _, l := range strings.Split(rest, "\n") {
				if l = strings.TrimSpace(l); l != "" {
					part.Lines = append(part.Lines, l)
				}
			}
			row.Parts = append(row.Parts, part)
		}
		if len(v.Ops) > 0 {
			row.Ops = strings.Trim(fmt.Sprint(v.Ops), "[]")
		}
		p.Checks = append(p.Checks, row)
	}
	switch {
	case len(vs) == 0:
		p.Reason = "no check was run"
	case worst == checker.OK:
		p.Reason = fmt.Sprintf("all %d checks hold", len(vs))
	default:
		p.Reason = vs[0].Check + ": " + vs[0].Summary
	}
}

func (p *page) facts(r *Report) {
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{name, value})
		}
	}
	add("Scenario", r.Scenario)
	if r.Recorded == "" {
		add("Seed", fmt.Sprint(r.Seed))
		add("Virtual time", duration(r.SimTime))
	}
	add("File", r.Recorded)
	if r.WallTime > 0 {
		add("Took", fmt.Sprintf("%s (%.0f× real time)", duration(r.WallTime), r.SimTime.Seconds()/max(r.WallTime.Seconds(), 1e-9)))
	}
	if r.Events > 0 {
		add("Events", thousands(int(r.Events)))
	}
	add("Trace hash", r.TraceHash)
	add("Build", r.Build)
	add("Started", r.Started)
}

func duration(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// thousands prints a number in groups of three, with thin spaces.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func (p *page) faults(r *Report) {
	used := map[string]bool{}
	for _, f := range r.Faults {
		row := faultRow{Fault: f, Class: familyOf(f.Family), From: history.Clock(f.Start), To: history.Clock(f.End), On: strings.Join(f.Targets, ", ")}
		if f.End == history.Never {
			row.To = "not healed"
		}
		if row.On == "" {
			row.On = "cluster"
		}
		if f.Effects == 0 {
			p.Idle++
		}
		used[row.Class] = true
		p.Faults = append(p.Faults, row)
	}
	for _, f := range append(families[:], "other") {
		if used[f] {
			p.Families = append(p.Families, f)
		}
	}
}

func (p *page) regions(r *Report) {
	for _, n := range r.orderedNodes() {
		if len(p.Regions) == 0 || p.Regions[len(p.Regions)-1].Name != n.Region {
			p.Regions = append(p.Regions, region{Name: n.Region})
		}
		g := &p.Regions[len(p.Regions)-1]
		at := -1
		for i := range g.Zones {
			if g.Zones[i].Name == n.Zone {
				at = i
			}
		}
		if at < 0 {
			g.Zones = append(g.Zones, zone{Name: n.Zone})
			at = len(g.Zones) - 1
		}
		g.Zones[at].Nodes = append(g.Zones[at].Nodes, n)
	}
}

func (p *page) files(r *Report) {
	p.Files = []fact{{"results.json", "every verdict, with counts and witnesses"}, {"history.jsonl", "every operation, one a line"}, {"history.edn", "the same as events of Jepsen"}}
	if r.Recorded == "" {
		p.Files = append(p.Files, fact{"plan.txt", "the faults, to run again or to edit"})
	}
	if r.certified() {
		p.Files = append(p.Files, fact{"certificate.json", "the serial order of each pass, the cycles of each violation, for another to confirm"})
	}
	if len(r.Leads) > 0 {
		p.Files = append(p.Files, fact{"events.txt", "how each operation of the examples came to its answer, event by event"})
	}
	if r.Trace != nil {
		p.Files = append(p.Files, fact{"trace.txt", "every event with its cause and its messages; operations by number"})
	}
	if r.Porcupine != nil {
		p.Files = append(p.Files, fact{"porcupine.html", "the operations on key " + r.PorcupineKey + ", in order as far as there is one"})
	}
	for _, f := range r.Files {
		p.Files = append(p.Files, fact{f.Name, f.Doc})
	}
}
