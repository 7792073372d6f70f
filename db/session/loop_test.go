package session

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// TestOutcomesAreTrue claims: under crashes, stops, resets, cuts and pauses, what the
// loop of TxnWith says is what happened. A transaction without error has committed
// once, one that failed has not and never will, and only one whose gateway was lost
// after it was asked to commit is ambiguous.
func TestOutcomesAreTrue(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(8) {
		w := newToy(t, seed, map[string]int64{"session.idle": int64(3 * time.Second)}, 3)
		disturb(w)
		outcomes := map[string]error{}
		for i := range 3 {
			client := w.procs["c1"]
			client.Go("client", func(task env.Task) {
				for n := 0; w.s.Now() < sim.Time(40*time.Second); n++ {
					name := fmt.Sprintf("T%d.%d", i, n)
					task.SetDeadline(client.Mono() + 4*time.Second)
					began := client.Mono()
					runs := 0
					outcomes[name] = client.db.TxnWith(task, kv.TxnOptions{Name: name}, func(tx *kv.TxnHandle) error {
						runs++
						if err := tx.Put(task, keys.Key(name), []byte("v")); err != nil {
							return err
						}
						_, err := tx.Get(task, keys.Key(name))
						return err
					})
					if took := client.Mono() - began; took > 4*time.Second+time.Millisecond {
						t.Errorf("seed %d: %s took %s", seed, name, took)
					}
					if runs > 1 && outcomes[name] == nil {
						total["anew"]++
					}
					task.SetDeadline(0)
					task.Sleep(20 * time.Millisecond)
				}
			})
		}
		w.run(60 * time.Second)
		for name, err := range outcomes {
			var e *kv.Error
			n := w.commits[name]
			switch {
			case err == nil && n == 1:
				total["committed"]++
			case errors.As(err, &e) && e.Ambiguous() && n <= 1:
				total[fmt.Sprintf("ambiguous, in truth %d", n)]++
			case errors.As(err, &e) && !e.Ambiguous() && n == 0:
				total["failed"]++
			default:
				t.Errorf("seed %d: %s committed %d times, and the client was told %v", seed, name, n, err)
			}
		}
		for _, n := range []string{"n1", "n2", "n3"} {
			if p := w.procs[n]; p.Alive() && p.gateway.Open() > 0 {
				t.Errorf("seed %d: %s has sessions open of clients that are long done", seed, n)
			}
		}
		for _, p := range append(Probes(), rpc.Probes()...) {
			total[string(p)] += int(w.s.ProbeCount(p))
		}
		w.s.Close()
	}
	t.Logf("%v", total)
	for _, name := range []string{"anew", "failed", "ambiguous, in truth 0", "ambiguous, in truth 1", string(ProbeLost), string(ProbeBegunAnew),
		string(ProbeCommitLearnt), string(ProbeRemembered), string(ProbeIdle), string(ProbeDrained)} {
		if total[name] == 0 {
			t.Errorf("never happened: %s", name)
		}
	}
}

// disturb plans faults for the first 40 seconds.
func disturb(w *toy) {
	r := w.s.Rand("faults")
	w.slow = 30 * time.Millisecond
	for at := time.Second; at < 40*time.Second; at += time.Duration(r.Int64N(int64(2 * time.Second))) {
		name := fmt.Sprintf("n%d", 1+r.IntN(3))
		m := w.procs[name].Machine()
		restart := func() {
			m.Kill("test")
			w.s.Schedule(700*time.Millisecond, "start", func() { w.startGateway(name) })
		}
		switch r.IntN(6) {
		case 0:
			w.s.Schedule(at, "crash", func() {
				if m.Proc() != nil {
					restart()
				}
			})
		case 1:
			w.s.Schedule(at, "stop", func() {
				if p := w.procs[name]; p.Alive() {
					p.Go("drain", func(t env.Task) {
						t.SetDeadline(p.Mono() + 20*time.Millisecond)
						p.gateway.Drain(t)
						t.SetDeadline(0)
						t.Sleep(50 * time.Millisecond)
						restart()
					})
				}
			})
		case 2, 3:
			w.s.Schedule(at, "reset", func() { w.net.Reset([]string{"c1"}, []string{"n1", "n2", "n3"}) })
		case 4:
			w.s.Schedule(at, "cut", func() {
				from, to := []string{name}, []string{"c1"}
				if r.IntN(2) == 0 {
					from, to = to, from
				}
				cut := w.net.Cut(from, to, network.Drop)
				w.s.Schedule(4*time.Second, "heal", cut.Heal)
			})
		case 5:
			w.s.Schedule(at, "pause", func() {
				m.Pause()
				w.s.Schedule(time.Second, "resume", m.Resume)
			})
		}
	}
}

// The same seed gives the same run.
func TestDeterministic(t *testing.T) {
	run := func() uint64 {
		w := newToy(t, 5, nil, 3)
		disturb(w)
		client := w.procs["c1"]
		for i := range 4 {
			client.Go("client", func(task env.Task) {
				for range 50 {
					_ = client.db.Txn(task, func(tx *kv.TxnHandle) error { return tx.Put(task, keys.Key(fmt.Sprint(i)), nil) })
				}
			})
		}
		w.run(20 * time.Second)
		return w.s.Hash()
	}
	if a, b := run(), run(); a != b {
		t.Fatalf("%x and %x", a, b)
	}
}
