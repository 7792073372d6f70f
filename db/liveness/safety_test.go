package liveness

import (
	"fmt"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// churn has nodes keep themselves alive, end each other's epochs as soon as they can,
// and suffer everything that they are promised against, for two minutes. Clocks are off
// by at most skew against the middle.
func churn(w *toy, skew time.Duration) {
	w.jitter = 20 * time.Millisecond
	w.mishap = func(n *toyNode, _ *kv.BatchRequest) string {
		if w.rand.IntN(3) > 0 {
			return ""
		}
		return []string{"refused", "lost", "hang", "late"}[w.rand.IntN(4)]
	}
	w.told = func(*toyNode) bool { return w.rand.IntN(2) == 0 }
	for i, n := range w.nodes {
		// One clock at each end of what is allowed, the others in between.
		offset := skew
		if i > 1 {
			offset = time.Duration(w.rand.Int64N(int64(skew)))
		}
		if i%2 == 0 {
			offset = -offset
		}
		n.m.Clock().SetOffset(offset)
		w.startChurning(n)
	}
	for range 60 {
		w.s.Schedule(time.Duration(w.rand.Int64N(int64(2*time.Minute))), "trouble", func() {
			w.trouble(w.nodes[w.rand.IntN(len(w.nodes))], skew)
		})
	}
}

// trouble kills a node, to start it again, or lets it stand still; and may set its clock
// to another place within what is allowed.
func (w *toy) trouble(n *toyNode, skew time.Duration) {
	if !n.p.Alive() || n.m.Paused() {
		return
	}
	if w.rand.IntN(2) == 0 {
		n.m.Clock().SetOffset(time.Duration(w.rand.Int64N(int64(2*skew))) - skew)
	}
	d := time.Duration(w.rand.Int64N(int64(15 * time.Second)))
	if w.rand.IntN(2) == 0 {
		w.counts["killed"]++
		n.m.Kill("test")
		w.s.Schedule(d/4, "start", func() { w.startChurning(n) })
		return
	}
	w.counts["paused"]++
	n.m.Pause()
	w.s.Schedule(d, "resume", n.m.Resume)
}

// startChurning starts a node that ends the epochs of all whose records have expired.
func (w *toy) startChurning(n *toyNode) {
	l := n.start()
	n.p.Go("boot", func(t env.Task) {
		if n.clock.RestartWait(t, hlc.Timestamp{}) != nil {
			return
		}
		l.Start()
		for t.Err() == nil {
			t.Sleep(time.Duration(w.rand.Int64N(int64(300 * time.Millisecond))))
			for _, m := range w.nodes {
				seen := l.Record(m.id)
				if m == n || !seen.Exists() || !seen.Expired(l.now()) {
					continue
				}
				got, err := l.IncrementEpoch(t, seen)
				if err != nil {
					continue
				}
				w.counts["ended"]++
				served := w.served[served{m.id, seen.Epoch}]
				if got.Epoch <= seen.Epoch || !served.Less(got.Version) && !w.anyClock {
					w.t.Errorf("%s is said to be over at %s, by %s; it was held at %s", &seen.Record, got.Version, &got.Record, served)
				}
			}
		}
	})
}

// served is an epoch of a node.
type served struct {
	node  kv.NodeID
	epoch int64
}

// violation says which node holds an epoch that is over in the database.
func (w *toy) violation() string {
	for _, n := range w.nodes {
		if n.p == nil || !n.p.Alive() {
			continue
		}
		epoch, _ := n.l.Self()
		if !n.l.HoldsEpoch(epoch, n.l.now()) {
			continue
		}
		w.counts["held"]++
		s := served{n.id, epoch}
		w.served[s] = w.served[s].Forward(n.l.now())
		if r := w.record(n.id); r.Epoch != epoch {
			return fmt.Sprintf("n%d holds epoch %d until %s by its clock at %s; the record is %s", n.id, epoch, n.l.held.expiration, n.l.now(), &r)
		}
	}
	return ""
}

// churned runs a churn to its end, looks at every event, and returns the first violation.
func churned(t *testing.T, seed uint64, skew time.Duration, total map[string]int) string {
	w := newToy(t, seed, 4, map[string]int64{"liveness.expiry": int64(3 * time.Second)})
	w.anyClock = 2*skew > maxOffset
	churn(w, skew)
	found := ""
	for w.s.Now() < sim.Time(2*time.Minute) && w.s.Step() && found == "" {
		found = w.violation()
	}
	w.findings()
	for k, v := range w.counts {
		total[k] += v
	}
	for _, p := range Probes() {
		total[string(p)] += int(w.s.ProbeCount(p))
	}
	w.s.Close()
	return found
}

// While clocks differ by the maximum offset at most, there is no instant at which a node
// holds an epoch that somebody has ended, whatever becomes of messages and processes;
// and whoever ends an epoch is told a version above every reading of its holder's clock at which it was held.
func TestOneEpochAtATime(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(12) {
		if found := churned(t, seed, maxOffset/2, total); found != "" {
			t.Errorf("seed %d: %s", seed, found)
		}
	}
	t.Log(sortedCounts(total))
	for _, name := range []string{"lost", "hang", "late", "refused", "killed", "paused", "ended", "held", string(ProbeEpochLost), string(ProbeEpochRaised),
		string(ProbeEpochRaceLost), string(ProbeAmbiguous), string(ProbeLapsed), string(ProbeCameBack), string(ProbeSuspect), string(ProbeHeartbeatFailed)} {
		if total[name] == 0 {
			t.Errorf("%q never happened", name)
		}
	}
}

// When clocks differ by more, a node may hold an epoch that is over: the check would
// notice. The records stay sound all the same, which the toy looks after.
func TestBeyondTheMaximumOffset(t *testing.T) {
	total := map[string]int{}
	violations := 0
	for seed := range uint64(6) {
		if churned(t, seed, 1500*time.Millisecond, total) != "" {
			violations++
		}
	}
	if violations == 0 {
		t.Errorf("clocks three seconds apart did no harm in six runs: %s", sortedCounts(total))
	}
}

// An answer that comes after the epoch was ended, and after the node heard of that, does
// not give the old epoch back.
func TestLateAnswer(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	a, b := w.nodes[0], w.nodes[1]
	a.start()
	b.start()
	if err := a.do(a.l.Heartbeat); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	w.mishap = func(n *toyNode, _ *kv.BatchRequest) string {
		w.mishap = nil
		return "slow"
	}
	var err error
	done := false
	a.p.Go("late", func(t env.Task) {
		err = a.l.Heartbeat(t)
		done = true
	})
	w.run(50 * time.Millisecond)
	w.told = func(*toyNode) bool { return true }
	if err := b.do(func(t env.Task) error { _, err := b.l.Read(t, 1); return err }); err != nil {
		t.Fatal(err)
	}
	w.run(7 * time.Second)
	if err := b.do(func(t env.Task) error {
		_, err := b.l.IncrementEpoch(t, b.l.Record(1))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if epoch, _ := a.l.Self(); epoch != 0 {
		t.Fatalf("epoch %d is over, and n1 has heard of it", epoch)
	}
	w.run(20 * time.Second)
	if epoch, _ := a.l.Self(); !done || err != nil || epoch != w.record(1).Epoch || epoch != 2 {
		t.Fatalf("%v %v: holds %d, the record says %d", done, err, epoch, w.record(1).Epoch)
	}
}
