package report

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// sample is a report such as a bad run gives: three regions, faults of several
// families, and a stale read after a lease moved.
func sample(ops int) *Report {
	r := rand.New(rand.NewPCG(4, 2))
	faults := []Fault{
		{Line: "at 8s crash n2 for 6s", Family: "process", Targets: []string{"n2"}, Start: 8e9, End: 14e9, Effects: 1},
		{Line: "at 20s partition halves {n1 n2 n3 n4} {n5 n6 n7 n8 n9} for 12s", Family: "network", Targets: []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"}, Start: 20e9, End: 32e9, Effects: 18422},
		{Line: "at 26s clock n5 offset 380ms for 20s", Family: "clock", Targets: []string{"n5"}, Start: 26e9, End: 46e9, Effects: 20},
		{Line: "at 40s power-loss region eu-west for 9s", Family: "power", Targets: []string{"eu-west"}, Start: 40e9, End: 49e9, Effects: 3},
		{Line: "at 52s disk n7 slow 40x for 10s", Family: "disk", Targets: []string{"n7"}, Start: 52e9, End: 62e9, Effects: 311},
		{Line: "at 55s split every 400ms for 4s", Family: "ranges", Start: 55e9, End: 59e9, Effects: 10},
		{Line: "at 66s loss 2% ap-south for 5s", Family: "network", Targets: []string{"ap-south"}, Start: 66e9, End: 71e9},
	}
	rec := history.NewRecorder()
	type open struct {
		op  *history.Op
		end int64
	}
	state := map[string]int64{}
	n := int64(0)
	at := int64(0)
	gap := int64(80e9) / int64(ops)
	for i := 0; i < ops; i++ {
		at += gap/2 + r.Int64N(gap)
		took := int64(1.5e6) + int64(r.ExpFloat64()*2.5e6)
		bad := 0.001
		for _, f := range faults[:6] {
			if at >= f.Start && at < f.End && r.IntN(3) == 0 {
				took *= 3 + r.Int64N(14)
				bad = 0.05
			}
		}
		key := fmt.Sprintf("k%02d", r.IntN(12))
		gw := fmt.Sprintf("n%d", 1+r.IntN(9))
		client := fmt.Sprintf("c%02d", i%30)
		outcome, err := history.OK, ""
		if r.Float64() < bad {
			outcome, err = history.Info, "ambiguous: the node that held the proposal is gone"
			took += 2e9
			if r.IntN(3) == 0 {
				outcome, err = history.Fail, "range unavailable: no leaseholder"
			}
		}
		a := history.Action{F: history.Read, Key: key}
		if r.IntN(2) == 0 {
			n++
			a.F, a.Arg = history.Write, history.Int(n)
		}
		op := rec.Invoke(client, gw, at, a)
		ts := history.Timestamp{Wall: at + took/2}
		if outcome == history.OK {
			if a.F == history.Write {
				state[key] = n
			} else if v, ok := state[key]; ok {
				op.Actions[0].Result = history.Int(v)
			} else {
				op.Actions[0].Result = history.NoKey()
			}
		} else {
			ts = history.Timestamp{}
		}
		rec.Complete(op, at+took, outcome, err, ts)
	}
	h := rec.History()
	bad := &history.History{}
	bad.Ops = append(bad.Ops,
		history.Op{ID: 0, Client: "c07", Gateway: "n2", Call: 30.102e9, Return: 30.160e9, Outcome: history.OK, TS: history.Timestamp{Wall: 30.13e9}, Actions: []history.Action{{F: history.Write, Key: "k05", Arg: history.Int(811)}}},
		history.Op{ID: 1, Client: "c03", Gateway: "n2", Call: 31.480e9, Return: 31.523e9, Outcome: history.OK, TS: history.Timestamp{Wall: 31.5e9}, Actions: []history.Action{{F: history.Write, Key: "k05", Arg: history.Int(847)}}},
		history.Op{ID: 2, Client: "c19", Gateway: "n5", Call: 31.902e9, Return: 31.905e9, Outcome: history.OK, TS: history.Timestamp{Wall: 31.45e9}, Actions: []history.Action{{F: history.Read, Key: "k05", Result: history.Int(811)}}})
	res := checker.Registers(bad, checker.Options{})
	var picture bytes.Buffer
	if err := checker.Picture(&picture, bad, checker.Options{}, res.PictureKey); err != nil {
		panic(err)
	}
	// The violation is told of operations of a history of its own; the charts mark
	// it at the operation of the large history that ran at that moment.
	for i := range h.Ops {
		if h.Ops[i].Call >= 31.902e9 {
			for j := range res.Verdicts {
				if len(res.Verdicts[j].Ops) > 0 {
					res.Verdicts[j].Ops[0] = h.Ops[i].ID
				}
			}
			break
		}
	}
	rep := &Report{
		Title: "Nine nodes, three regions: partitions and a skewed clock under registers", Scenario: "region-partition", Seed: 42, TraceHash: "9f3c61d07be2a455", Build: "c28d402",
		Events: 4_812_377, SimTime: 80 * time.Second, WallTime: 6400 * time.Millisecond,
		History: h, Faults: faults, Reproduce: "go run ./cmd/simulate -scenario region-partition -seed 42", Plan: "at 8s crash n2 for 6s\n",
		Porcupine: picture.Bytes(), PorcupineKey: res.PictureKey,
		Probes: []Probe{{"a lease moved between read and commit", 3}, {"a snapshot arrived for a replica that was being removed", 0}, {"a split raced a merge of its left neighbour", 0}, {"log truncated below a follower's match", 0}, {"leader without lease transferred away", 12}},
		Knobs:  []Knob{{"raft.election_ticks", "4", "10"}, {"storage.memtable_bytes", "65536", "67108864"}, {"lease.duration_ms", "900", "9000"}, {"range.max_bytes", "8192", "536870912"}},
	}
	for i, reg := range []string{"us-east", "eu-west", "ap-south"} {
		for j := 0; j < 3; j++ {
			rep.Topology = append(rep.Topology, Node{Name: fmt.Sprintf("n%d", 3*i+j+1), Region: reg, Zone: string(rune('a' + j))})
		}
	}
	rep.Places = samplePlaces(rep)
	rep.Verdicts = append(res.Verdicts, checker.Vacuity(h, []checker.Want{{F: history.Read, Min: 100}, {F: history.Write, Min: 100}}), checker.Availability(h),
		checker.Liveness(71e9, 10e9, checker.FirstSuccessByKey(h, 71e9, []string{"k00", "k01", "k02"})))
	return rep
}
