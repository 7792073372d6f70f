package graph

import (
	"fmt"
	"slices"
	"sort"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Options tell what is known beside the history.
type Options struct {
	// Universe is what a scan covers that does not say so itself. Nil means every
	// key named by another action.
	Universe []string
	// Initial is the value of a register before the first write; nil means absent.
	Initial func(key string) history.Value
	// Versions are all versions that the database applied, in any order, once for
	// each replica or once. Nil means that nobody collected them.
	Versions []checker.Version
	// SkewExceeded: clocks have left their bounds. Then a read may miss a write
	// that was answered before it began, and such edges are left out.
	SkewExceeded bool
	// NoRealTime and NoSessions leave out those edges altogether.
	NoRealTime, NoSessions bool
	// Session names the session of an operation, empty for none; operations of one
	// session follow each other when the first ended before the second began. Nil
	// means one client at one gateway. A gateway that restarts with another clock is
	// another session: its name must say so.
	Session func(op *history.Op) string
	// Imported: the history may lack operations. A value that nobody wrote is then
	// a warning and no violation.
	Imported bool
	// CausalReverse counts the cycles through real time between transactions that
	// share no key. It costs as much again as the check.
	CausalReverse bool
}

// Kind is what makes one transaction come before another.
type Kind uint8

const (
	// WW: both wrote a key, the first the earlier version.
	WW Kind = iota
	// WR: the second read what the first wrote.
	WR
	// RW: the second wrote what the first had not yet seen (an anti-dependency).
	RW
	// Session: one session ran them one after the other.
	Session
	// RealTime: the first was answered before the second began, and they conflict.
	RealTime
	// link goes on from an auxiliary node, and is part of the edge before it.
	link
	kinds
)

var kindNames = [kinds]string{WW: "ww", WR: "wr", RW: "rw", Session: "session", RealTime: "realtime", link: "link"}

// String is the short name: ww, wr, rw, session, realtime.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText implements encoding.TextMarshaler: a report names kinds.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Edge says why one transaction comes before another. Transactions are named by
// the ids of their operations.
type Edge struct {
	From, To int
	Kind     Kind
	// Key is where the two meet; empty for a session.
	Key string
	// Via is the transaction whose read shows the order of two writes; -1 when the
	// two say it by themselves, or the stored versions do.
	Via int
	// Text says the same in words.
	Text string
}

// Cycle is a way from a transaction back to itself: the To of each edge is the
// From of the next, and of the last the From of the first.
type Cycle struct {
	Name  string
	Edges []Edge
}

// Anomaly is one thing found wrong.
type Anomaly struct {
	// Name as Adya or Elle give it: G0, G1a, G-single-realtime, lost-update …
	Name string
	Key  string // empty when there are several
	Ops  []int
	Text string
	// Cycle is nil for what needs none, such as an aborted read.
	Cycle *Cycle
	// Warning: reported and not failed.
	Warning bool
}

// Result is the verdict with its evidence.
type Result struct {
	Verdict   checker.Verdict
	Anomalies []Anomaly
	// Order is a serial order that explains what every transaction saw, as operation
	// ids: the certificate of a pass. Nil when something was found, when registers were
	// judged without stored versions, and when somebody found a key deleted that
	// several delete: values do not tell by whom. Transactions of unknown outcome that
	// nobody saw are left out: they may never have happened.
	Order []int
}

// ListAppend judges transactions of Append and Read on lists. Each element is
// appended to a key once.
func ListAppend(h *history.History, o Options) Result {
	a := newAnalysis(h, &o, "list-append")
	a.internLists()
	a.readLists()
	a.orderLists()
	a.matchPrefixes()
	a.orderedEdges()
	a.name = a.nameAppend
	return a.finish()
}

// Registers judges transactions of Write, Read, CAS and Scan on integers. Each
// value is written to a key once.
func Registers(h *history.History, o Options) Result {
	a := newAnalysis(h, &o, "rw-register")
	a.internRegisters()
	a.readRegisters()
	if o.Versions != nil {
		a.orderRegisters()
		a.orderedEdges()
	} else {
		a.partialEdges()
	}
	a.name = a.nameWrite
	return a.finish()
}

// finish adds the edges of time, looks for cycles and gives the verdict.
func (a *analysis) finish() Result {
	a.timeEdges()
	g := a.edges.build(a.n + a.aux)
	c := components(g)
	a.explainCycles(g, c)
	return a.result(g, c)
}

func (a *analysis) result(g *csr, c *condensed) Result {
	v := checker.Verdict{Check: a.check, Valid: checker.OK}
	r := Result{Anomalies: a.found}
	var fs []checker.Finding
	var warnings []string
	names := map[string]int{}
	var order []string
	for _, x := range a.found {
		if x.Warning {
			warnings = append(warnings, "Warning: "+x.Text)
			continue
		}
		if names[x.Name] == 0 {
			order = append(order, x.Name)
		}
		names[x.Name]++
		fs = append(fs, checker.Finding{When: a.evident(x.Ops), Key: x.Key, Text: x.Text, Ops: x.Ops})
	}
	v.Counts = []checker.Count{{Name: "transactions", N: int64(a.judged())}, {Name: "reads", N: int64(len(a.reads))}, {Name: "writes", N: int64(len(a.writes.txn))},
		{Name: "keys", N: int64(len(a.keys))}}
	for k, name := range []string{"ww edges", "wr edges", "rw edges", "session edges", "real-time edges"} {
		v.Counts = append(v.Counts, checker.Count{Name: name, N: a.edges.count[k]})
	}
	v.Counts = append(v.Counts, checker.Count{Name: "cyclic components", N: int64(c.cyclic)}, checker.Count{Name: "unknown outcomes", N: a.infos})
	if a.o.CausalReverse {
		v.Counts = append(v.Counts, checker.Count{Name: "causal reverse", N: int64(a.causalReverse(g, c))})
	}
	sort.Strings(order)
	for _, name := range order {
		v.Counts = append(v.Counts, checker.Count{Name: name, N: int64(max(names[name], a.times[name]))})
	}
	v.Report(fs)
	figures, first := a.figures(names)
	v.Illustrate(figures)
	if first != "" { // what is shown first is told first
		v.Details = slices.Insert(slices.DeleteFunc(v.Details, func(d string) bool { return d == first }), 0, first)
	}
	v.Details = append(v.Details, warnings...)
	a.decide(&v, order, len(fs))
	if v.Valid == checker.OK && (a.check == "list-append" || a.o.Versions != nil) && !a.anyDelete {
		r.Order = a.serialOrder(c)
		v.Certificate = r.Order
	}
	r.Verdict = v
	return r
}

func (a *analysis) decide(v *checker.Verdict, order []string, problems int) {
	switch {
	case problems > 0:
		v.Valid = checker.Violation
		v.Summary = "not serializable: " + order[0]
		for _, name := range order[1:] {
			v.Summary += ", " + name
		}
	case a.undecided != "":
		v.Valid, v.Summary = checker.Unknown, a.undecided
	case len(a.reads) == 0 || len(a.writes.txn) == 0:
		v.Valid = checker.Vacuous
		v.Summary = fmt.Sprintf("nothing to judge: %s, %s", checker.Plural(len(a.reads), "read"), checker.Plural(len(a.writes.txn), "write"))
	default:
		v.Summary = fmt.Sprintf("%s have a serial order that keeps sessions and real time on common keys", checker.Plural(a.judged(), "transaction"))
		if a.check != "list-append" && a.o.Versions == nil {
			v.Summary = fmt.Sprintf("no contradiction among %s, as far as their values show the order of versions", checker.Plural(a.judged(), "transaction"))
		}
	}
}

// judged counts the transactions that take part in the order.
func (a *analysis) judged() int {
	n := 0
	for _, in := range a.in {
		if in {
			n++
		}
	}
	return n
}

// evident is when the last of some operations had begun, or ended if it did: only
// then could anybody know.
func (a *analysis) evident(ids []int) int64 {
	var at int64
	for _, id := range ids {
		op := a.op(id)
		if op == nil {
			continue
		}
		at = max(at, op.Call)
		if op.Outcome == history.OK {
			at = max(at, op.Return)
		}
	}
	return at
}
