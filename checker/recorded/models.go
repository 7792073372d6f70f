package recorded

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Options say what is known of a history beside its operations.
type Options struct {
	// Partial: the history may lack operations.
	Partial bool
	// Steps bounds the search for an order of the operations on one key; 0 means
	// DefaultSteps.
	Steps int
}

// DefaultSteps decides all histories of the public test suites with a margin, and
// ends within some seconds.
const DefaultSteps = 5_000_000

// Model is a way to judge a history.
type Model struct {
	Name string
	// Doc is one line for a list of models.
	Doc string
	// Shape is how the events of Jepsen's histories are to be read for it.
	Shape history.Shape
	does  []history.F
	judge func(*history.History, Options) []checker.Verdict
}

// Models lists all models, in the order in which they are shown.
func Models() []Model {
	r, w, cas, inc, add, del, scan, app := history.Read, history.Write, history.CAS, history.Increment, history.Add, history.Delete, history.Scan, history.Append
	registers := []history.F{r, w, cas, inc, del, scan}
	return []Model{
		{"register", "each key linearizable: read, write, increment, delete", history.Registers, registers, judgeRegisters},
		{"cas-register", "the same with compare-and-set; one that failed says nothing", history.Registers, registers, judgeRegisters},
		{"etcd-register", "the same; a failed compare-and-set found another value", history.Registers, registers, judgeEtcd},
		{"kv", "each key linearizable: get, put, append", history.Registers, []history.F{r, w, del, app}, judgeKV},
		{"list-append", "transactions of append and read, serializable", history.Transactions, []history.F{r, app, scan}, judgeLists},
		{"rw-register", "transactions of read and write of unique values, serializable", history.Transactions, []history.F{r, w, cas, del, scan}, judgeTransactions},
		{"bank", "accounts with one total in every read, none below zero", history.Accounts, []history.F{r, w, cas, inc, del, scan}, judgeBank},
		{"bank-negative-allowed", "the same, and accounts may be overdrawn", history.Accounts, []history.F{r, w, cas, inc, del, scan}, judgeDebts},
		{"long-fork", "reads of groups of keys, each written once, agree on the order of writes", history.Transactions, []history.F{r, w, scan}, judgeLongFork},
		{"set", "elements added once, none lost or out of nowhere in the final read", history.Sets, []history.F{r, add}, judgeSet},
		{"counter", "additions that each count once", history.Counters, []history.F{r, inc}, judgeCounter},
	}
}

// Find finds a model by its name.
func Find(name string) (Model, error) {
	var names []string
	for _, m := range Models() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Model{}, fmt.Errorf("no model %q; use one of %s", name, strings.Join(names, " "))
}

// Judge judges a history. An error says that the history holds operations that
// the model does not know.
func (m Model) Judge(h *history.History, o Options) ([]checker.Verdict, error) {
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if !slices.Contains(m.does, a.F) {
				return nil, fmt.Errorf("the model %s knows no %s, which op %d of %s does to key %q", m.Name, a.F, h.Ops[i].ID, h.Ops[i].Client, a.Key)
			}
		}
	}
	if o.Steps == 0 {
		o.Steps = DefaultSteps
	}
	return m.judge(h, o), nil
}

// Only is the part of a history whose keys match a pattern, in which * stands for
// any text; the empty pattern matches all. Of a scan that says what it covered the
// keys that match are left; another stands or goes by the key at which it began.
func Only(h *history.History, pattern string) *history.History {
	if pattern == "" {
		return h
	}
	match := regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString
	rows := func(v history.Value) history.Value {
		if v.Kind() != history.RowsKind {
			return v
		}
		return history.Rows(slices.DeleteFunc(slices.Clone(v.Rows()), func(r history.Row) bool { return !match(r.Key) })...)
	}
	out := &history.History{}
	for _, op := range h.Ops {
		var kept []history.Action
		for _, a := range op.Actions {
			switch {
			case a.F == history.Scan && a.Arg.Kind() == history.RowsKind:
				a.Arg, a.Result = rows(a.Arg), rows(a.Result)
				if len(a.Arg.Rows()) > 0 {
					kept = append(kept, a)
				}
			case match(a.Key):
				kept = append(kept, a)
			}
		}
		if len(kept) > 0 {
			op.Actions = kept
			out.Ops = append(out.Ops, op)
		}
	}
	return out
}
