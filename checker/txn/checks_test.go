package txn_test

import (
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/checker/txn"
)

func got(k string, n int64) history.Action {
	return history.Action{F: history.Read, Key: k, Result: history.Int(n)}
}

func none(k string) history.Action {
	return history.Action{F: history.Read, Key: k, Result: history.NoKey()}
}

func put(k string, n int64) history.Action {
	return history.Action{F: history.Write, Key: k, Arg: history.Int(n)}
}

func scan(rows ...history.Row) history.Action {
	return history.Action{F: history.Scan, Result: history.Rows(rows...)}
}

func row(k string, n int64) history.Row { return history.Row{Key: k, Value: history.Int(n)} }

func from(gateway string, op history.Op) history.Op {
	op.Gateway = gateway
	return op
}

func failed(op history.Op) history.Op {
	op.Outcome = history.Fail
	return op
}

// Each check on histories that keep its promise and on the least that break it.
func TestChecks(t *testing.T) {
	bank := func(h *history.History) checker.Verdict {
		return txn.Bank(h, txn.BankOptions{Accounts: []string{"a", "b"}, Total: 10})
	}
	fork := func(h *history.History) checker.Verdict { return txn.LongFork(h, nil) }
	g2 := func(h *history.History) checker.Verdict { return txn.Predicate(h, nil, nil) }
	seq := func(h *history.History) checker.Verdict { return txn.Sequential(h, nil, nil) }
	causal := func(h *history.History) checker.Verdict { return txn.CausalReverse(h, nil) }
	transfer := at(2, got("a", 5), got("b", 5), put("a", 4), put("b", 6))
	for _, c := range []struct {
		name  string
		check func(*history.History) checker.Verdict
		h     *history.History
		want  checker.Valid
		says  string
	}{
		{"bank", bank, hist(transfer, at(4, scan(row("a", 4), row("b", 6)))), checker.OK, ""},
		{"bank, wrong total", bank, hist(transfer, at(4, got("a", 4), got("b", 5))), checker.Violation, "saw 9 (-1)"},
		{"bank, overdrawn", bank, hist(transfer, at(4, got("a", -1), got("b", 11))), checker.Violation, "found at -1"},
		{"bank, account gone", bank, hist(transfer, at(4, scan(row("b", 10)))), checker.Violation, "nothing for a balance"},
		{"bank, account too many", bank, hist(transfer, at(4, scan(row("a", 4), row("b", 6), row("c", 0)))), checker.Violation, "does not exist"},
		{"bank, half seen", bank, hist(at(1, put("a", 1)), at(4, got("a", 4))), checker.Vacuous, ""},
		{"fork", fork, hist(at(1, put("x", 1)), at(2, put("y", 1)), at(3, got("x", 1), none("y")), at(4, none("x"), got("y", 1))), checker.Violation, "saw x and not y"},
		{"no fork", fork, hist(at(1, put("x", 1)), at(2, put("y", 1)), at(3, got("x", 1), none("y")), at(4, got("x", 1), got("y", 1)), at(0, none("y"), none("x"))), checker.OK, ""},
		{"fork unclear", fork, hist(at(1, put("x", 1)), at(2, put("x", 2)), at(3, got("x", 1), none("y"))), checker.Unknown, ""},
		{"g2", g2, hist(at(1, none("7/a"), none("7/b"), put("7/a", 1)), at(1, none("7/a"), none("7/b"), put("7/b", 2))), checker.Violation, "both inserted"},
		{"g2 kept", g2, hist(at(1, none("7/a"), none("7/b"), put("7/a", 1)), failed(at(1, put("7/b", 2))), at(3, got("7/a", 1), none("7/b"))), checker.OK, ""},
		{"g2 by scan", g2, hist(at(1, scan(), put("7/a", 1)), at(1, scan(row("7/a", 1)), put("8/b", 2))), checker.OK, ""},
		{"g2 ignored", g2, hist(at(1, none("7/a"), put("7/a", 1)), at(2, got("7/a", 1), put("7/b", 2))), checker.Violation, "had found something"},
		{"monotonic", txn.Monotonic, hist(at(5, put("x", 2)), at(3, put("y", 1)), at(8, put("x", 3))), checker.OK, ""},
		{"not monotonic", txn.Monotonic, hist(at(3, put("x", 2)), at(5, put("y", 1))), checker.Violation, "2 has an earlier timestamp than 1"},
		{"twice", txn.Monotonic, hist(at(3, put("x", 2)), at(5, put("y", 2))), checker.Violation, "written twice"},
		{"sequential", seq, hist(from("n1", at(1, put("f/0", 1))), from("n1", at(3, put("f/1", 1))), at(5, got("f/1", 1), got("f/0", 1)), at(6, none("f/1"), got("f/0", 1))), checker.OK, ""},
		{"not sequential", seq, hist(from("n1", at(1, put("f/0", 1))), from("n1", at(3, put("f/1", 1))), at(5, got("f/1", 1), none("f/0"))), checker.Violation, "same gateway"},
		{"sequential across", seq, hist(from("n1", at(1, put("f/0", 1))), from("n2", at(3, put("f/1", 1))), at(5, got("f/1", 1), none("f/0"))), checker.OK, ""},
		{"causal reverse", causal, hist(at(1, put("x", 1)), at(3, put("y", 1)), at(5, none("x"), got("y", 1))), checker.OK, "1 of 1 read"},
		{"causal order", causal, hist(at(1, put("x", 1)), at(3, put("y", 1)), at(5, got("x", 1), none("y"))), checker.OK, "0 of 1 read"},
	} {
		v := c.check(c.h)
		if v.Valid != c.want || !strings.Contains(v.String(), c.says) {
			t.Errorf("%s: want %s and %q, got %s", c.name, c.want, c.says, v)
		}
	}
}
