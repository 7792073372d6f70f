package liveness

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// Nodes that nothing happens to stay live, each with one write every three seconds.
func TestHeartbeats(t *testing.T) {
	w := newToy(t, 1, 5, nil)
	w.told = func(*toyNode) bool { return true }
	for _, n := range w.nodes {
		n.start().Start()
	}
	w.run(10 * time.Second)
	before := w.counts["written"]
	for range 600 {
		w.run(100 * time.Millisecond)
		for _, n := range w.nodes {
			for _, m := range w.nodes {
				if now := n.l.now(); !n.l.IsLive(m.id, now) || n.status(m.id) != "live" {
					t.Fatalf("n%d takes n%d for %s:\n%s", n.id, m.id, n.status(m.id), n.l)
				}
			}
		}
	}
	if n := w.counts["written"] - before; n < 5*20 || n > 5*23 {
		t.Errorf("%d writes of five nodes in a minute", n)
	}
}

// Callers of Heartbeat who come while one is under way share it, and nodes that miss the
// same dead node at once end its epoch with one write.
func TestShared(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	a, b := w.nodes[0], w.nodes[1]
	a.start()
	b.start()
	for range 20 {
		a.p.Go("many", func(t env.Task) { a.l.Heartbeat(t) })
	}
	w.run(time.Second)
	if r := w.record(1); r.Revision != 1 {
		t.Fatalf("twenty callers: %s", &r)
	}
	w.run(7 * time.Second)
	seen := b.l.Record(1)
	if !seen.Exists() {
		seen.Record = w.record(1)
	}
	sent := w.counts[""]
	over := 0
	for range 20 {
		b.p.Go("many", func(t env.Task) {
			if got, err := b.l.IncrementEpoch(t, seen); err == nil && got.Epoch == 2 {
				over++
			}
		})
	}
	w.run(time.Second)
	if over != 20 || w.counts[""]-sent != 1 {
		t.Fatalf("%d of 20 are told that the epoch is over, after %d requests", over, w.counts[""]-sent)
	}
}

// A node is called live again once for each time that it comes back, and only then.
func TestOnLive(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	w.told = func(*toyNode) bool { return true }
	a, b := w.nodes[0], w.nodes[1]
	a.start()
	b.start()
	calls := 0
	b.l.OnLive(func(n kv.NodeID) {
		if n != 1 || !b.l.IsLive(1, b.l.now()) {
			t.Errorf("n%d is called live", n)
		}
		calls++
	})
	for i, step := range []struct{ wait, calls int }{{0, 1}, {2, 1}, {3, 1}, {9, 2}, {2, 2}, {7, 3}} {
		w.run(time.Duration(step.wait) * time.Second)
		if err := a.do(a.l.Heartbeat); err != nil {
			t.Fatal(err)
		}
		if calls != step.calls {
			t.Fatalf("step %d: %d calls", i, calls)
		}
	}
}

// What an epoch is worth, to its holder and to others.
func TestEpochStatus(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	w.told = func(*toyNode) bool { return true }
	a, b := w.nodes[0], w.nodes[1]
	a.start()
	b.start()
	want := func(when string, epoch int64, own, others EpochStatus) {
		t.Helper()
		o, _ := a.l.Epoch(1, epoch, a.l.now())
		p, seen := b.l.Epoch(1, epoch, b.l.now())
		if o != own || p != others {
			t.Errorf("%s: epoch %d is %s to its holder and %s to others, who know %s", when, epoch, o, p, &seen.Record)
		}
		if own == EpochHeld != a.l.HoldsEpoch(epoch, a.l.now()) {
			t.Errorf("%s: HoldsEpoch and Epoch differ", when)
		}
	}
	want("before the first heartbeat", 1, EpochUnknown, EpochUnknown)
	if err := a.do(a.l.Heartbeat); err != nil {
		t.Fatal(err)
	}
	want("live", 1, EpochHeld, EpochHeld)
	want("not yet", 2, EpochUnknown, EpochUnknown)
	w.run(4700 * time.Millisecond)
	want("300 ms before the end", 1, EpochStasis, EpochHeld)
	w.run(time.Second)
	want("expired", 1, EpochStasis, EpochExpired)
	err := b.do(func(t env.Task) error {
		_, err := b.l.IncrementEpoch(t, b.l.Record(1))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want("ended", 1, EpochOver, EpochOver)
	want("the next", 2, EpochStasis, EpochExpired)
}

// What makes no sense is refused, and says why.
func TestRefusals(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	a := w.nodes[0]
	a.start()
	w.nodes[1].start()
	if err := a.do(func(t env.Task) error { return a.l.SetDraining(t, true) }); err != ErrNoRecord {
		t.Errorf("draining without a record: %v", err)
	}
	if err := a.do(a.l.Heartbeat); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    func(env.Task) error
		want error
	}{
		{func(t env.Task) error { _, err := a.l.IncrementEpoch(t, a.l.Record(1)); return err }, ErrOwnEpoch},
		{func(t env.Task) error { _, err := a.l.IncrementEpoch(t, a.l.Record(2)); return err }, ErrNoRecord},
		{func(t env.Task) error { _, err := a.l.SetMembership(t, 2, Decommissioning); return err }, ErrNoRecord},
	} {
		if err := a.do(c.f); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

// Heartbeats end when the node is decommissioned, and its owner is told.
func TestDecommissioned(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	a, b := w.nodes[0], w.nodes[1]
	a.start().Start()
	b.start().Start()
	w.run(4 * time.Second)
	for _, to := range []Membership{Decommissioning, Decommissioned} {
		if err := b.do(func(t env.Task) error { _, err := b.l.SetMembership(t, 1, to); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if r := b.l.Record(1); r.Expired(b.l.now()) || b.l.IsLive(1, b.l.now()) {
		t.Fatalf("%s", b.l)
	}
	w.run(4 * time.Second)
	if epoch, _ := a.l.Self(); !a.gone || epoch != 0 || w.s.ProbeCount(ProbeDecommissioned) == 0 {
		t.Fatalf("gone %v, holds epoch %d", a.gone, epoch)
	}
	if b.status(1) != "decommissioned" {
		t.Fatalf("%s", b.l)
	}
	a.m.Kill("test")
	a.start().Start()
	w.run(10 * time.Second)
	if epoch, _ := a.l.Self(); epoch != 0 || !a.gone {
		t.Fatal("a new incarnation of a decommissioned node is alive")
	}
}

// ReadAll brings the records of all nodes.
func TestReadAll(t *testing.T) {
	w := newToy(t, 1, 4, nil)
	for _, n := range w.nodes[:3] {
		n.start()
		if err := n.do(n.l.Heartbeat); err != nil {
			t.Fatal(err)
		}
	}
	d := w.nodes[3]
	d.start()
	if err := d.do(d.l.ReadAll); err != nil {
		t.Fatal(err)
	}
	all := d.l.Records()
	if len(all) != 3 {
		t.Fatalf("%v", all)
	}
	for i, s := range all {
		if s.NodeID != kv.NodeID(i+1) || s.Record != w.record(s.NodeID) || s.Version.IsEmpty() {
			t.Errorf("%+v", s)
		}
	}
}

func anyRecord() *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		return Record{NodeID: kv.NodeID(rapid.Int32Range(1, 1<<30).Draw(t, "node")), Revision: rapid.Int64Range(1, 1<<40).Draw(t, "revision"),
			Epoch: rapid.Int64Range(0, 1<<40).Draw(t, "epoch"), Draining: rapid.Bool().Draw(t, "draining"),
			Expiration: hlc.Timestamp{Wall: rapid.Int64().Draw(t, "wall"), Logical: rapid.Int32Range(0, 9).Draw(t, "logical")},
			Membership: Membership(rapid.IntRange(0, int(numMemberships)-1).Draw(t, "membership"))}
	})
}

// A record decodes to itself, and no two have the same encoding: a conditional put that
// names one names no other.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, s := anyRecord().Draw(t, "r"), anyRecord().Draw(t, "s")
		if back, err := DecodeRecord(r.Encode(nil)); err != nil || back != r {
			t.Fatalf("%s becomes %s, %v", &r, &back, err)
		}
		if bytes.Equal(r.Encode(nil), s.Encode(nil)) != (r == s) {
			t.Fatalf("%s and %s", &r, &s)
		}
	})
}

// The cache holds the record of the highest revision, in whatever order records come.
func TestCacheKeepsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newToy(nopTB{}, 1, 1, nil)
		defer w.s.Close()
		l := w.nodes[0].start()
		newest := map[kv.NodeID]Seen{}
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			r := anyRecord().Draw(t, "record")
			r.NodeID, r.Revision = r.NodeID%3+1, r.Revision%8+1
			s := Seen{Record: r, Version: hlc.Timestamp{Wall: r.Revision}}
			l.learn(s)
			if s.Revision > newest[r.NodeID].Revision {
				newest[r.NodeID] = s
			}
			if l.Record(r.NodeID) != newest[r.NodeID] {
				t.Fatalf("%v in place of %v", l.Record(r.NodeID), newest[r.NodeID])
			}
		}
		last := kv.NodeID(0)
		for _, s := range l.Records() {
			if s.NodeID <= last {
				t.Fatal("not in order")
			}
			last = s.NodeID
		}
		if len(l.Records()) != len(newest) {
			t.Fatal("some are missing")
		}
	})
}

// nopTB is for toys that are closed by hand.
type nopTB struct{ testing.TB }

func (nopTB) Cleanup(func()) {}

// Only legal ways lead from one membership to another, and none from the last.
func TestMembershipTransitions(t *testing.T) {
	legal := map[[2]Membership]bool{{Active, Decommissioning}: true, {Decommissioning, Active}: true, {Decommissioning, Decommissioned}: true}
	for from := range numMemberships {
		for to := range numMemberships {
			if from.mayBecome(to) != legal[[2]Membership{from, to}] {
				t.Errorf("from %s to %s: %v", from, to, from.mayBecome(to))
			}
		}
	}
}

// Decoders give an error for whatever is not the encoding of a sound record.
func FuzzDecodeRecord(f *testing.F) {
	r := Record{NodeID: 1, Revision: 2, Epoch: 3, Expiration: hlc.Timestamp{Wall: 4, Logical: 5}, Draining: true, Membership: Decommissioned}
	f.Add(r.Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRecord(b); err == nil && !bytes.Equal(r.Encode(nil), b) {
			t.Fatalf("%x is not what %s encodes to", b, &r)
		}
	})
}

// A node that went away in order is not suspect when it is back, and wants leases again.
func TestDrainedNodeComesBack(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	w.told = func(*toyNode) bool { return true }
	a, b := w.nodes[0], w.nodes[1]
	a.start()
	b.start()
	for range 2 {
		if err := a.do(a.l.Heartbeat); err != nil {
			t.Fatal(err)
		}
		if s := b.status(1); s != "live" {
			t.Fatalf("n1 is %s", s)
		}
		if err := a.do(func(t env.Task) error { return a.l.SetDraining(t, true) }); err != nil {
			t.Fatal(err)
		}
		if s := b.status(1); s != "draining" {
			t.Fatalf("n1 is %s", s)
		}
		a.m.Kill("test")
		w.run(10 * time.Second)
		a.start()
	}
}

// A heartbeat that is not answered is given up in time for another to keep the node live.
func TestHeartbeatWithoutAnswer(t *testing.T) {
	w := newToy(t, 1, 1, nil)
	a := w.nodes[0]
	a.start().Start()
	w.run(5 * time.Second)
	swallowed := 0
	w.mishap = func(*toyNode, *kv.BatchRequest) string {
		if w.delay = time.Millisecond; swallowed == 0 {
			swallowed++
			w.delay = time.Hour
		}
		return ""
	}
	for range 100 {
		w.run(100 * time.Millisecond)
		if !a.l.IsLive(1, a.l.now()) {
			t.Fatalf("%s", a.l)
		}
	}
	if swallowed != 1 {
		t.Fatal("nothing was swallowed")
	}
}

// A record in another's place, or one that cannot be read, is an error and changes nothing.
func TestCorruptRecords(t *testing.T) {
	w := newToy(t, 1, 2, nil)
	a := w.nodes[0]
	a.start()
	w.nodes[1].start()
	if err := a.do(a.l.Heartbeat); err != nil {
		t.Fatal(err)
	}
	v := w.values[string(keys.NodeLivenessKey(1))]
	for _, bytes := range [][]byte{v.Bytes, v.Bytes[1:], nil} {
		v.Bytes = bytes
		w.values[string(keys.NodeLivenessKey(2))] = v
		for _, f := range []func(env.Task) error{a.l.ReadAll, func(t env.Task) error { _, err := a.l.Read(t, 2); return err }} {
			if err := a.do(f); err == nil || !strings.Contains(err.Error(), "liveness") && !errors.Is(err, codec.ErrTruncated) {
				t.Errorf("%x: %v", bytes, err)
			}
		}
	}
	if a.l.Record(2).Exists() {
		t.Errorf("%s", a.l)
	}
}

// A heartbeat never takes back what an earlier one gave, such as when liveness.expiry was
// longer in the last incarnation.
func TestExpirationNeverGoesBack(t *testing.T) {
	w := newToy(t, 1, 1, nil)
	a := w.nodes[0]
	a.start()
	long := Record{NodeID: 1, Revision: 1, Epoch: 1, Expiration: a.clock.Now().Add(time.Minute)}
	w.values[string(keys.NodeLivenessKey(1))] = kv.Value{Bytes: long.Encode(nil), Exists: true, Timestamp: w.clock.Now()}
	if err := a.do(a.l.Heartbeat); err != nil {
		t.Fatal(err)
	}
	if r := w.record(1); r.Epoch != 2 || r.Expiration != long.Expiration {
		t.Fatalf("%s after %s", &r, &long)
	}
}
