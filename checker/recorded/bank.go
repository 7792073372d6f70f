package recorded

import (
	"fmt"
	"sort"
	"strings"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// judgeBank judges accounts between which money moves: every read of all of them
// at once finds the same total, and no account is below zero. It holds for every
// snapshot, old ones too. The idea is the bank test of Jepsen.
func judgeBank(h *history.History, o Options) []checker.Verdict { return bank(h, o, false) }

// judgeDebts is the same where accounts may be overdrawn.
func judgeDebts(h *history.History, o Options) []checker.Verdict { return bank(h, o, true) }

// statement is what one read found of the accounts.
type statement struct {
	op       *history.Op
	balances map[string]history.Value
	odd      []string // accounts that are there and hold no number
}

func bank(h *history.History, o Options, debts bool) []checker.Verdict {
	accounts, transfers := accountsOf(h)
	var whole []statement
	parts := 0
	for i := range h.Ops {
		s := statementOf(&h.Ops[i])
		switch {
		case s == nil:
		case s.covers(accounts):
			whole = append(whole, *s)
		default:
			parts++
		}
	}
	sort.SliceStable(whole, func(i, j int) bool { return whole[i].op.Return < whole[j].op.Return })
	var found []checker.Finding
	var total int64
	for i, s := range whole {
		sum, problems := s.audit(accounts, debts)
		found = append(found, problems...)
		if i == 0 {
			total = sum
		} else if sum != total {
			found = append(found, finding(s.op, fmt.Sprintf("Wrong total: a read found %d in all accounts together, and the first read found %d.\n  %s\n  first: %s", sum, total, s.op, whole[0].op), whole[0].op.ID))
		}
	}
	v := checker.Verdict{Check: "bank", Valid: checker.OK, Counts: []checker.Count{{Name: "accounts", N: int64(len(accounts))}, {Name: "transfers", N: int64(transfers)},
		{Name: "reads of all accounts", N: int64(len(whole))}, {Name: "reads of some accounts, not judged", N: int64(parts)}}}
	v.Report(found)
	of := fmt.Sprintf("%s of all of %s, %s", checker.Plural(len(whole), "read"), checker.Plural(len(accounts), "account"), checker.Plural(transfers, "transfer"))
	switch {
	case len(found) > 0:
		v.Valid, v.Summary = checker.Violation, fmt.Sprintf("%s (%s)", checker.Plural(len(found), "problem"), of)
	case len(whole) == 0 || !o.Partial && (transfers == 0 || len(whole) < 2):
		v.Valid, v.Summary = checker.Vacuous, "nothing to judge: "+of
	default:
		v.Summary = fmt.Sprintf("the total is always %d: %s", total, of)
	}
	return []checker.Verdict{v}
}

// finding is a problem that an operation shows, and others prove.
func finding(op *history.Op, text string, others ...int) checker.Finding {
	return checker.Finding{When: op.Return, Text: text, Ops: append([]int{op.ID}, others...)}
}

// accountsOf names all accounts, sorted, and counts the acknowledged transfers. A
// scan's key is where it began and no account.
func accountsOf(h *history.History) (accounts []string, transfers int) {
	seen := map[string]bool{}
	add := func(k string) {
		if !seen[k] {
			seen[k] = true
			accounts = append(accounts, k)
		}
	}
	for i := range h.Ops {
		writes := false
		for _, a := range h.Ops[i].Actions {
			writes = writes || a.F.Writes()
			if a.F != history.Scan {
				add(a.Key)
			}
			for _, r := range append(append([]history.Row{}, a.Arg.Rows()...), a.Result.Rows()...) {
				add(r.Key)
			}
		}
		if writes && h.Ops[i].Outcome == history.OK {
			transfers++
		}
	}
	sort.Strings(accounts)
	return accounts, transfers
}

// statementOf is what an acknowledged operation found that only reads; nil for
// another.
func statementOf(op *history.Op) *statement {
	if op.Outcome != history.OK || len(op.Actions) == 0 {
		return nil
	}
	s := &statement{op: op, balances: map[string]history.Value{}}
	for _, a := range op.Actions {
		switch {
		case a.F == history.Read:
			s.balances[a.Key] = a.Result
			if _, isInt := a.Result.Int(); !isInt && !a.Result.IsAbsent() {
				s.odd = append(s.odd, a.Key+" with "+a.Result.String())
			}
		case a.F == history.Scan:
			for _, r := range a.Arg.Rows() {
				s.balances[r.Key] = history.NoKey()
			}
			for _, r := range a.Result.Rows() {
				s.balances[r.Key] = r.Value
				if _, isInt := r.Value.Int(); !isInt {
					s.odd = append(s.odd, r.Key+" with "+r.Value.String())
				}
			}
		default:
			return nil
		}
	}
	return s
}

// covers reports whether the read was of all accounts. A scan that does not say
// what it covered is taken to be one of all.
func (s *statement) covers(accounts []string) bool {
	for _, a := range s.op.Actions {
		if a.F == history.Scan && a.Arg.IsNone() {
			return true
		}
	}
	return len(s.balances) == len(accounts)
}

// audit adds up the balances, an absent account being empty.
func (s *statement) audit(accounts []string, debts bool) (sum int64, found []checker.Finding) {
	var below []string
	for _, k := range accounts {
		n, _ := s.balances[k].Int()
		sum += n
		if n < 0 && !debts {
			below = append(below, fmt.Sprintf("%s with %d", k, n))
		}
	}
	if len(s.odd) > 0 {
		found = append(found, finding(s.op, fmt.Sprintf("No balance: a read found %s, which is no number.\n  %s", strings.Join(s.odd, ", "), s.op)))
	}
	if len(below) > 0 {
		found = append(found, finding(s.op, fmt.Sprintf("Overdrawn: a read found %s.\n  %s", strings.Join(below, ", "), s.op)))
	}
	return sum, found
}
