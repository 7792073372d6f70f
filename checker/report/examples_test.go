package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/verify"
)

// anomalous is the report of a store that serves reads too early, with the events of
// its first example's operations.
func anomalous(t *testing.T) *Report {
	t.Helper()
	run := toy.Make(toy.Config{Seed: 5, Txns: 160, Clients: 6, Keys: 4, Gateways: 3, Actions: 4, MaxOffset: 100, Skew: 80, Infos: 4, Fails: 6, Stale: 4, PerKey: 20, Defect: toy.EarlyRead})
	h := run.History
	for i := range h.Ops {
		h.Ops[i].Call *= 1e6
		if h.Ops[i].Return != history.Never {
			h.Ops[i].Return *= 1e6
		}
	}
	r := graph.ListAppend(h, graph.Options{})
	evidence := verify.Confirm(h, &r, graph.Options{})
	if r.Verdict.Valid != checker.Violation || len(r.Verdict.Figures) < 2 || r.Verdict.Figures[0].SVG == "" {
		t.Fatalf("this seed shows too little: %s", r.Verdict)
	}
	rep := &Report{Title: "Transactions on lists while leases move", Scenario: "append", Seed: 5, TraceHash: "9f3c61d07be2a455", SimTime: 10 * time.Second, History: h,
		Verdicts: []checker.Verdict{r.Verdict, evidence}, Reproduce: "go run ./cmd/simulate -scenario append -seed 5"}
	for i, id := range r.Verdict.Figures[0].Ops {
		op := &h.Ops[id]
		l := Lead{Op: id, Why: fmt.Sprintf("go run ./cmd/simulate -scenario append -seed 5 -why %d", 2040+i)}
		for j := range 30 {
			l.Events = append(l.Events, Event{Number: uint64(2000 + 10*j + i), At: op.Call + int64(j)*1e5, Machine: op.Gateway, Text: "net.deliver", Notes: []string{fmt.Sprintf("from %s: request %d: Append to r4", op.Client, j)}})
		}
		l.Events = append(l.Events, Event{Number: 3000, At: op.Call + 4e6, Machine: "n1", Text: "store: drain"})
		rep.Leads = append(rep.Leads, l)
	}
	return rep
}

// The page shows the example after the verdict and before the plots: what it is
// called, its picture, each edge in words, the operations with clients, gateways and
// timestamps, and the events, those that several operations share once.
func TestExampleInBrowser(t *testing.T) {
	rep := anomalous(t)
	first := rep.Verdicts[0].Figures[0]
	dir := t.TempDir()
	if err := rep.Write(dir); err != nil {
		t.Fatal(err)
	}
	ctx := browser(t)
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+filepath.Join(dir, "index.html")), chromedp.WaitVisible(chromedp.CSS("#examples .picture svg")), chromedp.Sleep(200*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	order := ask[string](ctx, t, `[...document.querySelectorAll("#verdict, #check-list-append, #examples, #points")].sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map(e => e.id).join(" ")`)
	if order != "verdict check-list-append examples points" {
		t.Errorf("from top to bottom the page shows %s", order)
	}
	open := ask[string](ctx, t, `[...document.querySelectorAll(".example[open] > summary b")].map(e => e.textContent).join(" ")`)
	if open != first.Name {
		t.Errorf("open are the examples %q, want %q", open, first.Name)
	}
	boxes := ask[int](ctx, t, `document.querySelectorAll(".example[open] svg .txn").length`)
	inside := ask[bool](ctx, t, `(() => { const p = document.querySelector(".example[open] .picture svg").getBoundingClientRect(); return [...document.querySelectorAll(".example[open] svg text")].every(e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.left >= p.left && b.right <= p.right && b.top >= p.top && b.bottom <= p.bottom }) })()`)
	if boxes != len(first.Ops) || !inside {
		t.Errorf("%d boxes of %d transactions, all text inside the picture: %v", boxes, len(first.Ops), inside)
	}
	words := ask[string](ctx, t, `document.querySelector(".example[open]").innerText`)
	for _, e := range first.Edges {
		if !strings.Contains(words, e.Text) {
			t.Errorf("the example does not say %q", e.Text)
		}
	}
	for _, id := range first.Ops {
		op := rep.History.Ops[id]
		for _, want := range []string{op.Gateway, op.Client, op.TS.String(), history.Clock(op.Call), op.Actions[0].String()} {
			if !strings.Contains(words, want) {
				t.Errorf("the example does not say %q of T%d", want, id)
			}
		}
	}
	if rows, want := ask[int](ctx, t, `document.querySelectorAll(".example[open] .events tbody tr").length`), 30*len(first.Ops)+1; rows != want {
		t.Errorf("%d events are shown, want %d", rows, want)
	}
	if !strings.Contains(words, "-seed 5 -why 2040") {
		t.Error("the example does not tell how to ask for more")
	}
	if wide := ask[int](ctx, t, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
		t.Errorf("the page is %d px wider than the window", wide)
	}
	if shots := os.Getenv("REPORT_SHOTS"); shots != "" {
		keepShots(ctx, t, shots)
	}
	const last = "the test has seen enough"
	ask[bool](ctx, t, `console.log("`+last+`"), true`)
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		if m.Text == last {
			break
		}
		t.Errorf("the browser complains: %s", m)
	}
}

// Beside the page lie the certificates and the events; the page of a file that
// somebody recorded claims nothing about faults and nodes.
func TestEvidenceIsWritten(t *testing.T) {
	rep, dir := anomalous(t), t.TempDir()
	if err := rep.Write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "certificate.json"))
	if err != nil {
		t.Fatal(err)
	}
	var certificates []struct {
		Check, Confirmed string
		Cycles           []checker.Figure
	}
	if err := json.Unmarshal(text, &certificates); err != nil || len(certificates) != 1 || len(certificates[0].Cycles) == 0 || certificates[0].Confirmed == "" {
		t.Errorf("certificates: %v\n%s", err, text)
	}
	events, err := os.ReadFile(filepath.Join(dir, "events.txt"))
	if err != nil || !strings.Contains(string(events), "event 2010 ") {
		t.Errorf("events.txt: %v\n%s", err, events)
	}
	rep.Recorded, rep.Leads = "history.edn", nil
	var b bytes.Buffer
	if err := rep.HTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"fair weather", "h-top", "plan.txt", "Knobs this seed", "events.txt"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page of a recorded file says %q", bad)
		}
	}
}

// A picture that is more than a drawing is refused.
func TestPicturesAreDrawings(t *testing.T) {
	for svg, ok := range map[string]bool{
		`<svg viewBox="0 0 1 1"><g class="txn"><text>a</text></g></svg>`: true,
		`<svg><script>alert(1)</script></svg>`:                           false,
		`<svg onload="alert(1)"></svg>`:                                  false,
		`<svg><text style="x">a</text></svg>`:                            false,
		`<svg><a href="http://example.org">a</a></svg>`:                  false,
		`<svg><text>`: false,
	} {
		rep := &Report{Verdicts: []checker.Verdict{{Check: "c", Valid: checker.Violation, Figures: []checker.Figure{{Name: "n", SVG: svg}}}}}
		if err := rep.HTML(&bytes.Buffer{}); (err == nil) != ok {
			t.Errorf("%s: %v", svg, err)
		}
	}
}
