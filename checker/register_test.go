package checker

import (
	"math/rand/v2"
	"strings"
	"testing"

	"simulacrum/checker/history"
)

// compare judges one history by all deciders and reports any disagreement that
// has no excuse.
func compare(t *testing.T, h *history.History, readsTimed bool) (sweep Valid) {
	t.Helper()
	any, ordered := bruteForce(h, false), bruteForce(h, true)
	fail := func(what string) {
		t.Helper()
		var b strings.Builder
		for i := range h.Ops {
			b.WriteString("  " + h.Ops[i].String() + "\n")
		}
		t.Fatalf("%s (brute force: any order %v, order of timestamps %v)\n%s%s", what, any, ordered, b.String(), Register(h, Options{}))
	}
	p, _ := Porcupine(h, Options{})
	switch {
	case any && p.Valid == Violation, !any && p.Valid != Violation, p.Valid == Unknown:
		fail("porcupine says " + p.Valid.String())
	}
	s := Register(h, Options{})
	switch {
	case (s.Valid == OK || s.Valid == Vacuous) && !ordered:
		fail("the sweep passes what has no order")
	case s.Valid == Violation && ordered && !readsTimed:
		fail("the sweep fails what has an order")
	}
	r := Registers(h, Options{})
	for _, v := range r.Verdicts {
		if v.Check == "agreement" && v.Valid == Violation {
			fail("agreement")
		}
	}
	if w := Worst(r.Verdicts...); w == Unknown {
		fail("undecided together")
	}
	return s.Valid
}

// Every history of up to three operations of each kind, in every overlap and
// every order of timestamps: the sweep, Porcupine and brute force agree. With
// three, the order of timestamps may stay fixed, because every assignment of
// kinds and intervals to it is tried.
func TestExhaustiveAgainstBruteForce(t *testing.T) {
	ks := kinds()
	counts := map[Valid]int{}
	for n := 1; n <= 2; n++ {
		each(ks, n, func(pick []opKind) {
			for _, iv := range intervals(n) {
				for _, p := range permutations(n) {
					counts[compare(t, small(pick, iv, p), true)]++
					h := small(pick, iv, p)
					untime(h)
					counts[compare(t, h, false)]++
				}
			}
		})
	}
	if !testing.Short() {
		ivs := intervals(3)
		each(ks[:13], 3, func(pick []opKind) {
			for _, iv := range ivs {
				h := small(pick, iv, []int{0, 1, 2})
				untime(h)
				counts[compare(t, h, false)]++
			}
		})
	}
	t.Logf("%d ok, %d violations, %d unknown", counts[OK]+counts[Vacuous], counts[Violation], counts[Unknown])
}

func each(ks []opKind, n int, fn func([]opKind)) {
	pick := make([]opKind, n)
	var walk func(i int)
	walk = func(i int) {
		if i == n {
			fn(pick)
			return
		}
		for _, k := range ks {
			pick[i] = k
			walk(i + 1)
		}
	}
	walk(0)
}

// Drawn histories of three to five operations. A third have reads without a
// timestamp.
func TestDrawnAgainstBruteForce(t *testing.T) {
	ks := kinds()
	rounds := 60_000
	if testing.Short() {
		rounds = 5_000
	}
	counts := map[Valid]int{}
	r := rand.New(rand.NewPCG(1, 2))
	ivs := map[int][][][2]int64{3: intervals(3), 4: intervals(4)}
	for i := 0; i < rounds; i++ {
		n := 3 + r.IntN(2)
		pick := make([]opKind, n)
		for j := range pick {
			pick[j] = ks[r.IntN(len(ks))]
		}
		h := small(pick, ivs[n][r.IntN(len(ivs[n]))], r.Perm(n))
		if i%3 != 0 {
			untime(h)
		}
		counts[compare(t, h, i%3 == 0)]++
	}
	t.Logf("%d ok, %d violations, %d unknown", counts[OK]+counts[Vacuous], counts[Violation], counts[Unknown])
	if counts[OK] < rounds/100 || counts[Violation] < rounds/100 {
		t.Fatal("the draw is too one-sided to prove anything")
	}
}

// untime takes the timestamps off operations that only look. With them, the
// history claims more than real time says, and brute force does not know that.
func untime(h *history.History) {
	for i := range h.Ops {
		op := &h.Ops[i]
		writes := false
		for _, a := range op.Actions {
			writes = writes || a.F.Writes() && op.Outcome != history.Fail
		}
		if !writes {
			op.TS = history.Timestamp{}
		}
	}
}
