package store

import (
	"fmt"
	"slices"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// snapshots are those on their way out of a store and into it.
type snapshots struct {
	s       *Store
	senders env.Semaphore
	nextID  uint64
	rate    int64 // bytes a second
	max     int64
	limit   int // received at once
	idle    time.Duration
	// incoming are half received, in order of arrival; at most one of a range.
	incoming []*incoming
	// outgoing are those under way. A leader that lost its place and regained it may
	// ask for one that is still being sent; two to the same replica would displace
	// each other there for ever, so the first stands for both.
	outgoing []target
	// creating are the ranges whose replicas are being made of snapshots.
	creating []kv.RangeID
}

type target struct {
	of kv.RangeID
	to kv.ReplicaDescriptor
}

type incoming struct {
	id   uint64
	snap replica.Snapshot
	size int64
	last time.Duration // when the last chunk came
}

func (p *snapshots) init(s *Store) {
	e := s.cfg.Env
	p.s = s
	p.senders.Free = int(e.Knob(&knobSnapSenders))
	p.rate, p.max = e.Knob(&knobSnapRate), e.Knob(&knobSnapMax)
	p.limit, p.idle = int(e.Knob(&knobSnapReceivers)), env.Duration(e, &knobSnapIdle)
	p.nextID = uint64(s.incarnated) << 32
}

// SendSnapshot implements replica.Host.
func (s *Store) SendSnapshot(r *replica.Replica, to kv.ReplicaDescriptor) {
	if s.snapshots.under(r, to) {
		return
	}
	key := s.snapshots.begin(r, to)
	s.cfg.Env.Go("store: snapshot", func(t env.Task) {
		if err := s.snapshots.finish(t, r, key); err != nil {
			s.cfg.Env.Log("snapshot of r%d to %s: %v", r.RangeID(), to, err)
		}
	})
}

// under reports that a snapshot of the range is under way to the replica.
func (p *snapshots) under(r *replica.Replica, to kv.ReplicaDescriptor) bool {
	return slices.ContainsFunc(p.outgoing, func(k target) bool { return k.of == r.RangeID() && k.to.ReplicaID == to.ReplicaID })
}

func (p *snapshots) begin(r *replica.Replica, to kv.ReplicaDescriptor) target {
	key := target{r.RangeID(), to}
	p.outgoing = append(p.outgoing, key)
	return key
}

// transfer is SendSnapshot for who waits for the end of it. None may be under way.
func (p *snapshots) transfer(t env.Task, r *replica.Replica, to kv.ReplicaDescriptor) error {
	return p.finish(t, r, p.begin(r, to))
}

func (p *snapshots) finish(t env.Task, r *replica.Replica, key target) error {
	err := p.send(t, r, key.to)
	if err != nil {
		p.s.cfg.Env.Probe(probeSnapFailed)
	}
	p.outgoing = slices.DeleteFunc(p.outgoing, func(k target) bool { return k == key })
	r.ReportSnapshot(key.to.ReplicaID, err == nil)
	return err
}

// send streams the state as it is now, which may be newer than when consensus
// asked, chunk after chunk: an answered chunk is one that the receiver has room
// for.
func (p *snapshots) send(t env.Task, r *replica.Replica, to kv.ReplicaDescriptor) error {
	if err := p.senders.Acquire(t, "snapshot", -1); err != nil {
		return err
	}
	if is, ok := r.Desc().ReplicaByID(to.ReplicaID); !ok || is.StoreID != to.StoreID || r.Gone() {
		p.senders.Release()
		return fmt.Errorf("%s is not in the range any more", to)
	}
	rd := r.NewSnapshot(to)
	err := p.stream(t, rd, to.NodeID)
	rd.Close()
	p.senders.Release()
	return err
}

func (p *snapshots) stream(t env.Task, rd *replica.SnapshotReader, to kv.NodeID) error {
	p.nextID++
	c := SnapshotChunk{ID: p.nextID, Header: rd.SnapshotHeader}
	for {
		data, last, err := rd.Next(p.s.rcfg.Tunables.SnapshotChunkBytes)
		if err != nil {
			p.s.cfg.Env.Fatal(err)
		}
		chunk := c
		chunk.Data, chunk.Last = data, last
		reply, err := p.s.cfg.Transport.SendSnapshot(t, to, &chunk)
		if err != nil {
			return err
		}
		if !reply.Accepted {
			return fmt.Errorf("refused: %s", reply.Reason)
		}
		if last {
			return nil
		}
		c.Number++
		if err := t.Sleep(time.Duration(int64(len(data)) * int64(time.Second) / p.rate)); err != nil {
			return err
		}
	}
}

// HandleSnapshot takes in a chunk. It does not wait.
func (s *Store) HandleSnapshot(c *SnapshotChunk) *SnapshotReply {
	reason := s.snapshots.receive(c)
	if reason != "" {
		s.cfg.Env.Probe(probeSnapRefused)
	}
	return &SnapshotReply{Accepted: reason == "", Reason: reason}
}

// receive returns why the chunk is refused, if it is.
func (p *snapshots) receive(c *SnapshotChunk) string {
	r := p.s.Replica(c.Header.RangeID)
	if r != nil && r.Self().ReplicaID < c.Header.To.ReplicaID {
		p.s.succeed(r, c.Header.To.ReplicaID)
		r = nil
	}
	if reason := p.refuses(r, &c.Header); reason != "" {
		return reason
	}
	at := -1
	for i, in := range p.incoming {
		if in.snap.RangeID == c.Header.RangeID {
			at = i
		}
	}
	if c.Number == 0 {
		if at >= 0 {
			p.drop(at) // the sender began anew, or another did
		}
		if len(p.incoming) >= p.limit {
			return "too many snapshots at once"
		}
		at = len(p.incoming)
		p.incoming = append(p.incoming, &incoming{id: c.ID, snap: replica.Snapshot{SnapshotHeader: c.Header}})
	}
	if at < 0 || p.incoming[at].id != c.ID || uint64(len(p.incoming[at].snap.Chunks)) != c.Number {
		return "not the next chunk"
	}
	in := p.incoming[at]
	in.size += int64(len(c.Data))
	p.s.cfg.Env.Memory(int64(len(c.Data)))
	in.last = p.s.cfg.Env.Mono()
	in.snap.Chunks = append(in.snap.Chunks, c.Data)
	if in.size > p.max {
		p.drop(at)
		return "too large"
	}
	if !c.Last {
		p.s.cfg.Env.Probe(probeSnapHalf)
		return ""
	}
	p.s.cfg.Env.Probe(probeSnapComplete)
	p.drop(at)
	if r == nil {
		p.create(&in.snap)
		return ""
	}
	// Whether it was of use is seen by the leader from the follower's answers.
	r.Receive(&in.snap)
	return ""
}

// refuses says why a snapshot cannot be for r, which is nil if there is no replica of the
// range. One is made of the snapshot then, unless this store has removed it before, or what
// the snapshot holds is a part of another replica here: that will be divided when it has
// applied the split, or is left over and will be removed. What others
// hold of it must be theirs no more: see replica.Subsumes.
func (p *snapshots) refuses(r *replica.Replica, h *replica.SnapshotHeader) string {
	if d, ok := h.Desc.ReplicaByID(h.To.ReplicaID); !ok || d.StoreID != p.s.cfg.StoreID || slices.Contains(p.creating, h.RangeID) {
		return "no such replica"
	}
	if h.To.ReplicaID < p.s.tombstone(h.RangeID) || r != nil && h.To.ReplicaID < r.Self().ReplicaID {
		return fmt.Sprintf("replica %d was removed", h.To.ReplicaID)
	}
	for _, o := range p.s.Overlapping(h.Desc.Span()) {
		if o != r && !replica.Subsumes(r, h.Desc, o) {
			p.s.Suspect(o) // if it is not behind, it is left over
			return fmt.Sprintf("overlaps r%d", o.RangeID())
		}
	}
	return ""
}

// create makes a replica, once its state is synced.
func (p *snapshots) create(s *replica.Snapshot) {
	b := p.s.cfg.Engine.NewBatch()
	if err := replica.WriteSnapshot(b, p.s.cfg.Engine, s); err != nil {
		p.s.cfg.Env.Fatal(err)
	}
	p.creating = append(p.creating, s.RangeID)
	p.s.cfg.Engine.Commit(b, true, func() {
		p.creating = slices.DeleteFunc(p.creating, func(id kv.RangeID) bool { return id == s.RangeID })
		r, err := replica.Load(&p.s.rcfg, s.Desc)
		if err != nil {
			p.s.cfg.Env.Fatal(err)
		}
		p.s.cfg.Env.Probe(probeBorn)
		p.s.add(r)
	})
}

// forget drops what is half received of a range.
func (p *snapshots) forget(id kv.RangeID) {
	if i := slices.IndexFunc(p.incoming, func(in *incoming) bool { return in.snap.RangeID == id }); i >= 0 {
		p.drop(i)
	}
}

func (p *snapshots) drop(i int) {
	p.s.cfg.Env.Memory(-p.incoming[i].size)
	p.incoming = append(p.incoming[:i], p.incoming[i+1:]...)
}

// tick drops what has not been continued for long.
func (p *snapshots) tick() {
	for i := 0; i < len(p.incoming); {
		if p.s.cfg.Env.Mono()-p.incoming[i].last > p.idle {
			p.s.cfg.Env.Probe(probeSnapDropped)
			p.drop(i)
			continue
		}
		i++
	}
}
