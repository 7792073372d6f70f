package invariants_test

import (
	"strings"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/db/concurrency"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// watched is a cluster of three nodes that has served a few requests.
func watched(t *testing.T) (*cluster.Cluster, *invariants.Watcher) {
	s := sim.New(sim.Config{Seed: 3})
	t.Cleanup(s.Close)
	w := invariants.New()
	c := cluster.New(s, cluster.Config{
		Topology: cluster.Uniform([]string{"us-east"}, 3, 1, 1), MaxOffset: 500 * time.Millisecond, Observer: w,
	})
	w.Attach(c)
	c.Boot()
	c.Clients()[0].Run(func(task env.Task, s *cluster.Session) {
		for i := 0; i < 20; i++ {
			_, _ = s.Do(task, []workloads.Op{{Kind: workloads.Put, Key: []byte("k"), Value: []byte("7")}}, workloads.Options{})
			_, _ = s.Do(task, []workloads.Op{{Kind: workloads.Get, Key: []byte("k")}}, workloads.Options{})
		}
	})
	s.RunUntil(sim.Time(20 * time.Second))
	w.CompareReplicas()
	if v := w.Verdicts()[0]; v.Valid != checker.OK {
		t.Fatalf("before anything was broken: %s", v)
	}
	return c, w
}

// holder is the node that holds the lease of the clients' range, and its replica.
func holder(t *testing.T, c *cluster.Cluster) (*cluster.Node, *replica.Replica) {
	id := c.Ranges()[1].RangeID
	for _, n := range c.Nodes() {
		if r := n.Server().Store().Replica(id); r.State().Lease.Replica == r.Self() {
			return n, r
		}
	}
	t.Fatal("nobody has the lease")
	return nil, nil
}

func wantProblem(t *testing.T, w *invariants.Watcher, part string) {
	t.Helper()
	v := w.Verdicts()[0]
	if v.Valid != checker.Violation || !strings.Contains(v.Summary, part) {
		t.Errorf("want a violation that says %q, got %s", part, v)
	}
}

// A replica that holds one byte more than its peers at the same index is found.
func TestStrayByteIsFound(t *testing.T) {
	c, w := watched(t)
	n := c.Nodes()[1]
	b := n.Server().Engine().NewBatch()
	b.Put(mvcc.EncodeKey(nil, append(c.Ranges()[1].StartKey.Clone(), 'z'), hlc.Timestamp{Wall: 1}), []byte("stray"))
	n.Server().Engine().Commit(b, false, nil)
	w.CompareReplicas()
	wantProblem(t, w, "differ at applied index")
}

// A replica that applies another command at an index than its peers did is found.
func TestOtherCommandAtAnIndexIsFound(t *testing.T) {
	c, w := watched(t)
	_, r := holder(t, c)
	w.Applied(r, r.State().AppliedIndex, &replica.Command{ID: 99, Kind: replica.KindTruncate}, replica.Applied)
	wantProblem(t, w, "unlike another replica")
}

// So is one that judges the same command otherwise.
func TestOtherJudgementIsFound(t *testing.T) {
	c, w := watched(t)
	_, r := holder(t, c)
	cmd := &replica.Command{ID: 99, Kind: replica.KindTruncate}
	w.Applied(r, r.State().AppliedIndex+1, cmd, replica.Applied)
	w.Applied(r, r.State().AppliedIndex+1, cmd, replica.RejectLeaseIndex)
	wantProblem(t, w, "unlike another replica")
}

// A read past the end of its lease is found, and one at or after the start of the
// next lease.
func TestReadsOutsideTheLeaseAreFound(t *testing.T) {
	c, w := watched(t)
	_, r := holder(t, c)
	l := r.State().Lease
	w.Served(r, r.Desc().Span(), l.Expiration.Add(time.Second), l.Sequence)
	wantProblem(t, w, "past the end of")

	c, w = watched(t)
	_, r = holder(t, c)
	l = r.State().Lease
	read := hlc.Timestamp{Wall: l.Start.Wall + int64(time.Second)}
	w.Served(r, r.Desc().Span(), read, l.Sequence)
	w.Applied(r, r.State().AppliedIndex+1, takeOver(r, l, read, true), replica.Applied)
	wantProblem(t, w, "served a read at")
}

// A holder that hands its lease over may have read the future, which a pushed transaction
// is in, if it says so to the next one. What it does not say is found, and a read above that.
func TestReadsThatWereHandedOver(t *testing.T) {
	for _, said := range []bool{true, false} {
		c, w := watched(t)
		_, r := holder(t, c)
		l := r.State().Lease
		start := hlc.Timestamp{Wall: l.Start.Wall + int64(time.Second)}
		future := start.Add(200 * time.Millisecond)
		w.Served(r, r.Desc().Span(), future, l.Sequence)
		cmd := takeOver(r, l, start, true)
		if said {
			mark := concurrency.ReadMark{TS: future}
			cmd.Lease.Reads.Marks = []concurrency.SpanRead{{Span: keys.Span{Key: keys.ClientStart}, ReadMark: mark}}
		}
		w.Applied(r, r.State().AppliedIndex+1, cmd, replica.Applied)
		if !said {
			wantProblem(t, w, "served a read at")
			continue
		}
		if v := w.Verdicts()[0]; v.Valid != checker.OK {
			t.Errorf("the next holder was told: %s", v)
		}
		w.Served(r, r.Desc().Span(), future.Next(), l.Sequence)
		wantProblem(t, w, "served a read at")
	}
}

// When a range is divided, what was read goes with the keys: the side that hands its lease
// over says nothing of reads on the other. A run of the scenario splits met this at once
// after a split, with a transaction that had been pushed into the future.
func TestReadsOfTheOtherSideAreNotHandedOver(t *testing.T) {
	for _, onTheRight := range []bool{true, false} {
		c, w := watched(t)
		_, r := holder(t, c)
		l, left, right := r.State().Lease, *r.Desc(), *r.Desc()
		at := left.StartKey.Next()
		left.EndKey, left.Generation = at, left.Generation+1
		right.StartKey, right.RangeID, right.Generation = at, 99, left.Generation
		start := hlc.Timestamp{Wall: l.Start.Wall + int64(time.Second)}
		read := keys.Span{Key: left.StartKey}
		if onTheRight {
			read.Key = at
		}
		w.Served(r, read, start.Add(200*time.Millisecond), l.Sequence)
		split := replica.Split{SplitTrigger: kv.SplitTrigger{Left: left, Right: right}}
		i := r.State().AppliedIndex
		w.Applied(r, i+1, &replica.Command{ID: 98, Kind: replica.KindSplit, LeaseSequence: l.Sequence, WriteTS: l.Start, Split: &split}, replica.Applied)
		w.Applied(r, i+2, takeOver(r, l, start, true), replica.Applied)
		if !onTheRight {
			wantProblem(t, w, "served a read at")
		} else if v := w.Verdicts()[0]; v.Valid != checker.OK {
			t.Errorf("a read elsewhere: %s", v)
		}
	}
}

// So may it have written the future, at a moment before the start of the next lease. What
// it writes later is found.
func TestWritesOfTheFutureAreOfTheirLease(t *testing.T) {
	for _, late := range []bool{false, true} {
		c, w := watched(t)
		n, r := holder(t, c)
		l := r.State().Lease
		start := hlc.Timestamp{Wall: l.Start.Wall + int64(time.Second)}
		local := hlc.Timestamp{Wall: start.Wall - 1}
		if late {
			local = start
		}
		batch := n.Server().Engine().NewBatch()
		future := start.Add(200 * time.Millisecond)
		writer := mvcc.Writer{Reader: n.Server().Engine(), Batch: batch, Local: local}
		if err := writer.Put(append(keys.ClientStart.Clone(), 'k'), future, workloads.EncodeInt(7)); err != nil {
			t.Fatal(err)
		}
		w.Applied(r, r.State().AppliedIndex+1, &replica.Command{ID: 98, Kind: replica.KindWrite, LeaseSequence: l.Sequence, WriteTS: future, Batch: batch.Repr()}, replica.Applied)
		w.Applied(r, r.State().AppliedIndex+2, takeOver(r, l, start, true), replica.Applied)
		if late {
			wantProblem(t, w, "a write at")
		} else if v := w.Verdicts()[0]; v.Valid != checker.OK {
			t.Errorf("written before the start: %s", v)
		}
	}
}

// A lease that begins before its predecessor has run out is found, unless its
// holder handed it over.
func TestOverlappingLeasesAreFound(t *testing.T) {
	for _, transfer := range []bool{false, true} {
		c, w := watched(t)
		_, r := holder(t, c)
		l := r.State().Lease
		start := hlc.Timestamp{Wall: l.Expiration.Wall - 1}
		w.Applied(r, r.State().AppliedIndex+1, takeOver(r, l, start, transfer), replica.Applied)
		if !transfer {
			wantProblem(t, w, "begins before")
		} else if v := w.Verdicts()[0]; v.Valid != checker.OK {
			t.Errorf("a transfer is no overlap: %s", v)
		}
	}
}

// takeOver is a command that gives the lease to another replica from start on.
func takeOver(r *replica.Replica, prev kv.Lease, start hlc.Timestamp, transfer bool) *replica.Command {
	other := r.Desc().Replicas[0]
	if other == prev.Replica {
		other = r.Desc().Replicas[1]
	}
	next := kv.Lease{Sequence: prev.Sequence + 1, Replica: other, Start: start, ProposedTS: start, Expiration: start.Add(6 * time.Second)}
	return &replica.Command{ID: 99, Kind: replica.KindLease, Lease: replica.LeaseChange{
		Next: next, PrevSequence: prev.Sequence, PrevProposed: prev.ProposedTS, Transfer: transfer,
	}}
}

// Two replicas that hold valid leases at one moment are found: the clock of a node
// that was cut off stands still, so that its old lease looks valid to it for ever.
func TestTwoHoldersAreFound(t *testing.T) {
	c, w := watched(t)
	get := []workloads.Op{{Kind: workloads.Get, Key: []byte("k")}}
	c.Crash("c1")
	c.Clients()[0].Run(func(task env.Task, s *cluster.Session) {
		for {
			_, _ = s.Do(task, get, workloads.Options{})
			_ = task.Sleep(100 * time.Millisecond)
		}
	})
	c.Sim().RunUntil(c.Sim().Now().Add(10 * time.Second))
	n, _ := holder(t, c)
	var rest []string
	for _, o := range append(c.Topology().Nodes, c.Topology().Clients...) {
		if o.Name != n.Name() {
			rest = append(rest, o.Name)
		}
	}
	c.Cut([]string{n.Name()}, rest, nemesis.Drop)
	c.Cut(rest, []string{n.Name()}, nemesis.Drop)
	c.FreezeClock(n.Name())
	c.Sim().RunUntil(c.Sim().Now().Add(40 * time.Second))
	wantProblem(t, w, "held a valid lease too")
}

// Replicas that lag behind what any had are told from those of a range that goes on.
func TestGoals(t *testing.T) {
	_, w := watched(t)
	goals := w.Goals()
	if len(goals) == 0 || !w.CaughtUp() || !w.Reached(goals) {
		t.Fatalf("a cluster at rest has reached what it has: %v", goals)
	}
	goals[0].Index--
	if !w.Reached(goals) {
		t.Error("replicas beyond the goal have not reached it")
	}
	goals[0].Index += 2
	if w.Reached(goals) {
		t.Error("a goal beyond all replicas is reached")
	}
}
