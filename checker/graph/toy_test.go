package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/graph"
	"simulacrum/checker/history"
	"simulacrum/checker/toy"
	"simulacrum/checker/verify"
)

func config(seed uint64, registers bool) toy.Config {
	c := toy.Config{Seed: seed, Txns: 400, Clients: 12, Keys: 6, Gateways: 4, Actions: 4, MaxOffset: 100, Skew: int64(seed%5) * 25,
		Infos: 5, Fails: 8, Stale: 8, Registers: registers, PerKey: 24}
	if seed%3 == 0 {
		c.Keys, c.Clients = 2, 5
	}
	if seed%4 == 0 {
		c.Infos, c.Fails, c.Stale = 25, 25, 20
	}
	return c
}

// The histories of a correct store are never flagged, whatever its clocks do
// within the bound, and each pass has a certificate that replays.
func TestLegalHistoriesPass(t *testing.T) {
	seeds := uint64(300)
	if testing.Short() {
		seeds = 30
	}
	reversed := int64(0)
	for seed := uint64(1); seed <= seeds; seed++ {
		for _, registers := range []bool{false, true} {
			for _, stored := range []bool{false, true} {
				c := config(seed, registers)
				o := graph.Options{CausalReverse: true}
				if seed%7 == 0 {
					c.Skew, o.SkewExceeded = 1000, true
				}
				if seed%5 == 0 {
					// Gateways keep what they served, so that all of one is a session.
					o.Session = func(op *history.Op) string { return op.Gateway }
				}
				run := toy.Make(c)
				if stored {
					o.Versions = run.Versions
				}
				r := judge(run.History, registers, o)
				if r.Verdict.Valid != checker.OK {
					t.Fatalf("seed %d registers=%v stored=%v: %s", seed, registers, stored, r.Verdict)
				}
				if r.Order == nil && (!registers || stored) {
					t.Fatalf("seed %d: no certificate", seed)
				}
				if r.Order != nil {
					if err := verify.Order(run.History, r.Order, o); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
				reversed += r.Verdict.Count("causal reverse")
			}
		}
	}
	if reversed == 0 {
		t.Error("no history reversed real time across keys: the clocks were too good to mean anything")
	}
}

func judge(h *history.History, registers bool, o graph.Options) graph.Result {
	if registers {
		return graph.Registers(h, o)
	}
	return graph.ListAppend(h, o)
}

// A store that breaks one rule is found out, by an anomaly that fits, and the
// cycles are confirmed.
func TestDefectsAreFlagged(t *testing.T) {
	const seeds = 40
	fits := map[toy.Defect]string{
		toy.NoReadCache: "G2-item G-single G-nonadjacent G1c lost-update", toy.NoUncertainty: "G-single-realtime G-nonadjacent-realtime G2-item-realtime G-single-session",
		toy.EarlyRead: "lost-update G-single G2-item G-nonadjacent", toy.DirtyRead: "G1a dirty-update aborted-write", toy.Intermediate: "G1b incompatible-order G0 G-single lost-write lost-update G2-item G-nonadjacent",
		toy.AppliedTwice: "duplicate-elements G-single G1c G-single-realtime G1c-realtime G-nonadjacent G2-item", toy.LostWrite: "G-single-realtime lost-write G-single G2-item lost-update incompatible-order G-nonadjacent G1c", toy.ForgetsOwnWrites: "internal",
	}
	for _, d := range toy.Defects() {
		for _, registers := range []bool{false, true} {
			caught, names, fit := 0, map[string]int{}, 0
			for seed := uint64(1); seed <= seeds; seed++ {
				c := config(seed, registers)
				c.Skew, c.Defect = 100, d
				run := toy.Make(c)
				o := graph.Options{}
				if registers {
					o.Versions = run.Versions
				}
				r := judge(run.History, registers, o)
				if r.Verdict.Valid != checker.Violation {
					continue
				}
				caught++
				ok := false
				for _, a := range r.Anomalies {
					names[a.Name]++
					ok = ok || strings.Contains(" "+fits[d]+" ", " "+a.Name+" ")
					if a.Cycle == nil {
						continue
					}
					if err := verify.Cycle(run.History, a.Cycle, o); err != nil {
						t.Fatalf("%s, seed %d: %v\n%s", d, seed, err, a.Text)
					}
				}
				if ok {
					fit++
				}
			}
			t.Logf("%-50s registers=%-5v caught %d of %d: %v", d, registers, caught, seeds, fmt.Sprint(names))
			least := seeds / 2
			if d == toy.NoReadCache {
				least = seeds / 8 // it takes a slow clock behind a fast one's read
			}
			if caught < least || fit < caught {
				t.Errorf("%s, registers=%v: caught %d of %d, fitting %d", d, registers, caught, seeds, fit)
			}
		}
	}
}
