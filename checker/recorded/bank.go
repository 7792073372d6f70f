package recorded

import (
	"fmt"
	"sort"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
)

// judgeBank judges accounts between which money moves. A history does not say what
// all accounts hold together: the first read of all of them does.
func judgeBank(h *history.History, o Options) []checker.Verdict { return bank(h, o, false) }

// judgeDebts is the same where accounts may be overdrawn.
func judgeDebts(h *history.History, o Options) []checker.Verdict { return bank(h, o, true) }

func bank(h *history.History, o Options, debts bool) []checker.Verdict {
	accounts := accountsOf(h)
	total, ok := firstTotal(h, len(accounts))
	if !ok {
		return []checker.Verdict{{Check: "bank", Valid: checker.Vacuous, Summary: "nothing to judge: no read of all of " + checker.Plural(len(accounts), "account")}}
	}
	v := txn.Bank(h, txn.BankOptions{Accounts: accounts, Total: total, NegativeAllowed: debts})
	if o.Partial && v.Valid == checker.Vacuous {
		// The file has reads, and for want of transfers they prove little.
		v.Valid = checker.OK
		v.Summary = fmt.Sprintf("nothing contradicts a total of %d; warning: reads of all accounts: %d, transfers: %d", total, v.Count("reads of all accounts"), v.Count("transfers"))
	}
	return []checker.Verdict{v}
}

// accountsOf names all accounts, sorted. A scan's key is where it began and no
// account.
func accountsOf(h *history.History) (accounts []string) {
	seen := map[string]bool{}
	add := func(k string) {
		if !seen[k] {
			seen[k] = true
			accounts = append(accounts, k)
		}
	}
	for i := range h.Ops {
		for _, a := range h.Ops[i].Actions {
			if a.F != history.Scan {
				add(a.Key)
			}
			for _, v := range [...]history.Value{a.Arg, a.Result} {
				for _, r := range v.Rows() {
					add(r.Key)
				}
			}
		}
	}
	sort.Strings(accounts)
	return accounts
}

// firstTotal adds up what the first acknowledged read of all accounts found.
func firstTotal(h *history.History, accounts int) (total int64, ok bool) {
	first := int64(history.Never)
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OK || op.Return >= first {
			continue
		}
		if sum, all := sumOf(op, accounts); all {
			first, total, ok = op.Return, sum, true
		}
	}
	return total, ok
}

// sumOf adds up what an operation found that only reads, and tells whether it read
// all accounts. A scan that does not say what it covered covered all.
func sumOf(op *history.Op, accounts int) (sum int64, all bool) {
	found := map[string]bool{}
	add := func(key string, v history.Value) {
		if n, isInt := v.Int(); isInt && !found[key] {
			sum += n
		}
		found[key] = true
	}
	for _, a := range op.Actions {
		switch a.F {
		case history.Read:
			add(a.Key, a.Result)
		case history.Scan:
			all = all || a.Arg.IsNone()
			for _, r := range a.Result.Rows() {
				add(r.Key, r.Value)
			}
		default:
			return 0, false
		}
	}
	return sum, all || len(found) == accounts
}
