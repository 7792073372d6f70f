package report

import (
	"fmt"
	"math"
	"sort"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

const (
	// maxPoints is as many points of latency as the page draws and stays quick.
	maxPoints = 20_000
	// buckets is how finely rate and quantiles are cut.
	buckets = 120
)

// series is the data of the charts, as the script reads it. Times are virtual
// seconds, latencies milliseconds; null is no value.
type series struct {
	Points [4][]num `json:"points"` // time, ok, failed, unknown
	Rate   [4][]num `json:"rate"`   // time, ok, failed, unknown (operations a second)
	Quant  [4][]num `json:"quant"`  // time, p50, p95, p99 of ok
	Bands  []band   `json:"bands"`
	Marks  []num    `json:"marks"` // the first witness of each violation
	Span   num      `json:"span"`
	// Shown and Of say how many answered operations the points stand for.
	Shown int `json:"-"`
	Of    int `json:"-"`
}

// band is a fault behind the charts.
type band struct {
	Family string `json:"family"`
	From   num    `json:"from"`
	To     num    `json:"to"`
}

// num prints with at most six digits after the point: the page stays small and
// the same on every machine. NaN is null.
type num float64

// MarshalJSON implements json.Marshaler.
func (n num) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return fmt.Appendf(nil, "%.7g", float64(n)), nil
}

func nothing() num { return num(math.NaN()) }

func seconds(ns int64) num { return num(float64(ns) / 1e9) }

// point is one answered operation.
type point struct {
	at, took int64
	outcome  history.Outcome
}

func (r *Report) series() series {
	var s series
	span := r.span()
	s.Span = seconds(span)
	for _, f := range r.Faults {
		end := f.End
		if end == history.Never {
			end = span
		}
		s.Bands = append(s.Bands, band{familyOf(f.Family), seconds(f.Start), seconds(end)})
	}
	s.Marks = r.marks()
	var points []point
	if r.History != nil {
		for i := range r.History.Ops {
			if op := &r.History.Ops[i]; op.Return != history.Never && op.Err != history.Undone {
				points = append(points, point{op.Call, op.Return - op.Call, op.Outcome})
			}
		}
	}
	sort.SliceStable(points, func(i, j int) bool { return points[i].at < points[j].at })
	s.Of = len(points)
	s.rates(r.History, span)
	s.quantiles(points, span)
	kept := thin(points, span)
	s.Shown = len(kept)
	for _, p := range kept {
		y := num(math.Max(float64(p.took)/1e6, 0.001))
		s.Points[0] = append(s.Points[0], seconds(p.at))
		for i := 1; i < 4; i++ {
			v := nothing()
			if i == column(p.outcome) {
				v = y
			}
			s.Points[i] = append(s.Points[i], v)
		}
	}
	return s
}

// marks are the moments at which the first witness of each violation was called.
func (r *Report) marks() []num {
	var out []num
	seen := map[int64]bool{}
	for _, v := range r.Verdicts {
		if v.Valid != checker.Violation || len(v.Ops) == 0 || r.History == nil {
			continue
		}
		ops := r.History.Ops
		i := sort.Search(len(ops), func(i int) bool { return ops[i].ID >= v.Ops[0] })
		if i < len(ops) && ops[i].ID == v.Ops[0] && !seen[ops[i].Call] && len(out) < 8 {
			seen[ops[i].Call] = true
			out = append(out, seconds(ops[i].Call))
		}
	}
	return out
}

func column(o history.Outcome) int {
	switch o {
	case history.OK:
		return 1
	case history.Fail:
		return 2
	}
	return 3
}

// thin keeps at most maxPoints: the slowest of each small stretch of time and
// outcome, so that no spike is lost, and of the rest every n-th.
func thin(points []point, span int64) []point {
	if len(points) <= maxPoints {
		return points
	}
	const cells = 1000
	keep := make([]bool, len(points))
	slowest := map[[2]int64]int{}
	for i, p := range points {
		c := [2]int64{min(int64(float64(p.at)/float64(span)*cells), cells-1), int64(p.outcome)}
		if j, ok := slowest[c]; !ok {
			slowest[c], keep[i] = i, true
		} else if p.took > points[j].took {
			keep[j] = false
			slowest[c], keep[i] = i, true
		}
	}
	room := maxPoints - len(slowest)
	every := (len(points) + room - 1) / room
	var out []point
	for i, p := range points {
		if keep[i] || i%every == 0 && len(out) < maxPoints {
			out = append(out, p)
		}
	}
	return out
}

func bucketOf(ns, span int64) int {
	return max(0, min(int(float64(ns)/float64(span)*buckets), buckets-1))
}

func (s *series) rates(h *history.History, span int64) {
	var n [buckets][4]float64
	if h != nil {
		for i := range h.Ops {
			op := &h.Ops[i]
			if op.Err == history.Undone {
				continue
			}
			at := op.Return
			if at == history.Never {
				at = op.Call
			}
			n[bucketOf(at, span)][column(op.Outcome)]++
		}
	}
	width := float64(span) / buckets / 1e9
	for b := range n {
		s.Rate[0] = append(s.Rate[0], num((float64(b)+0.5)*width))
		for i := 1; i < 4; i++ {
			s.Rate[i] = append(s.Rate[i], num(n[b][i]/width))
		}
	}
}

func (s *series) quantiles(points []point, span int64) {
	var by [buckets][]int64
	for _, p := range points {
		if p.outcome == history.OK {
			b := bucketOf(p.at, span)
			by[b] = append(by[b], p.took)
		}
	}
	width := float64(span) / buckets / 1e9
	for b := range by {
		s.Quant[0] = append(s.Quant[0], num((float64(b)+0.5)*width))
		sort.Slice(by[b], func(i, j int) bool { return by[b][i] < by[b][j] })
		for i, q := range []float64{0.5, 0.95, 0.99} {
			v := nothing()
			if len(by[b]) > 0 {
				v = num(math.Max(float64(quantile(by[b], q))/1e6, 0.001))
			}
			s.Quant[i+1] = append(s.Quant[i+1], v)
		}
	}
}

// quantile is the smallest value that at least the share q does not exceed.
func quantile(sorted []int64, q float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, min(i, len(sorted)-1))]
}

// kindRow is one line of the table of operations.
type kindRow struct {
	Kind               string
	OK, Fail, Info     int
	P50, P95, P99, Max string
}

// errorRow is one line of the table of errors.
type errorRow struct {
	Outcome, Err string
	N            int
}

// operations counts operations by what they do and how they ended.
func (r *Report) operations() (rows []kindRow, errs []errorRow, total int) {
	if r.History == nil {
		return nil, nil, 0
	}
	type acc struct {
		n    [4]int
		took []int64
	}
	byKind := map[string]*acc{}
	var kinds []string
	errAt := map[[2]string]int{}
	for i := range r.History.Ops {
		op := &r.History.Ops[i]
		name := kindName(op)
		a := byKind[name]
		if a == nil {
			a = &acc{}
			byKind[name] = a
			kinds = append(kinds, name)
		}
		a.n[column(op.Outcome)]++
		if op.Outcome == history.OK {
			a.took = append(a.took, op.Return-op.Call)
		}
		if op.Err != "" {
			k := [2]string{op.Outcome.String(), op.Err}
			j, ok := errAt[k]
			if !ok {
				j = len(errs)
				errAt[k] = j
				errs = append(errs, errorRow{Outcome: k[0], Err: k[1]})
			}
			errs[j].N++
		}
	}
	sort.Strings(kinds)
	for _, name := range kinds {
		a := byKind[name]
		sort.Slice(a.took, func(i, j int) bool { return a.took[i] < a.took[j] })
		row := kindRow{Kind: name, OK: a.n[1], Fail: a.n[2], Info: a.n[3], P50: "–", P95: "–", P99: "–", Max: "–"}
		if len(a.took) > 0 {
			row.P50, row.P95 = millis(quantile(a.took, 0.5)), millis(quantile(a.took, 0.95))
			row.P99, row.Max = millis(quantile(a.took, 0.99)), millis(quantile(a.took, 1))
		}
		rows = append(rows, row)
	}
	sort.SliceStable(errs, func(i, j int) bool {
		if errs[i].N != errs[j].N {
			return errs[i].N > errs[j].N
		}
		return errs[i].Err < errs[j].Err
	})
	return rows, errs, len(r.History.Ops)
}

var kindNames = [...]string{history.Read: "read", history.Write: "write", history.CAS: "compare and set", history.Increment: "increment",
	history.Add: "add", history.Delete: "delete", history.Scan: "scan", history.Append: "append"}

// kindName names an operation by its actions: "read", or "batch" for several.
func kindName(op *history.Op) string {
	if len(op.Actions) == 0 {
		return "nothing"
	}
	if len(op.Actions) > 1 {
		return "batch"
	}
	name := op.Actions[0].F.String()
	if f := int(op.Actions[0].F); f < len(kindNames) {
		name = kindNames[f]
	}
	if op.Stale {
		return name + " of the past"
	}
	return name
}

func millis(ns int64) string {
	ms := float64(ns) / 1e6
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}
