package txn

import (
	"fmt"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// BankOptions describe the bank.
type BankOptions struct {
	Accounts []string
	// Total is what all accounts hold together, always.
	Total int64
	// NegativeAllowed: transfers do not ask whether there is enough.
	NegativeAllowed bool
}

// Bank judges transfers between accounts: every transaction that saw all of them
// saw the total, no account that does not exist, and none below zero unless that is
// allowed. It holds whatever the clocks do, reads of the past included: each sees
// the state of one moment.
func Bank(h *history.History, o BankOptions) checker.Verdict {
	account := map[string]bool{}
	for _, name := range o.Accounts {
		account[name] = true
	}
	v := checker.Verdict{Check: "bank"}
	var fs []checker.Finding
	var whole, partial, transfers int
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OK {
			continue
		}
		for _, a := range op.Actions {
			if a.F.Writes() {
				transfers++
				break
			}
		}
		var sum int64
		balances := map[string]bool{}
		wrong := func(key, text string) {
			fs = append(fs, checker.Finding{When: op.Return, Key: key, Text: text + "\n  " + title(op), Ops: []int{op.ID}})
		}
		for _, s := range sights(op, o.Accounts) {
			n, isInt := s.value.Int()
			switch {
			case !account[s.key]:
				wrong(s.key, fmt.Sprintf("Account %s does not exist, and it was found with %s.", s.key, s.value))
			case !isInt:
				wrong(s.key, fmt.Sprintf("Account %s was found with %s for a balance.", s.key, s.value))
			case n < 0 && !o.NegativeAllowed:
				wrong(s.key, fmt.Sprintf("Account %s was found at %d.", s.key, n))
			}
			if account[s.key] && !balances[s.key] {
				balances[s.key] = true
				sum += n
			}
		}
		switch {
		case len(balances) == len(o.Accounts) && len(balances) > 0:
			if whole++; sum != o.Total {
				wrong("", fmt.Sprintf("All accounts together hold %d; this transaction saw %d (%+d).", o.Total, sum, sum-o.Total))
			}
		case len(balances) > 0:
			partial++
		}
	}
	v.Counts = []checker.Count{{Name: "accounts", N: int64(len(o.Accounts))}, {Name: "reads of all accounts", N: int64(whole)},
		{Name: "reads of some", N: int64(partial)}, {Name: "transfers", N: int64(transfers)}}
	return settle(v, fs, fmt.Sprintf("%s of the bank", checker.Plural(len(fs), "wrong sight")),
		fmt.Sprintf("%s of all accounts saw %d", checker.Plural(whole, "read"), o.Total),
		fmt.Sprintf("%d reads of all accounts, %d transfers: too few to mean anything", whole, transfers), whole > 0 && transfers > 0)
}
