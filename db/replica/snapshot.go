package replica

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/codec"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
)

// SnapshotHeader says what a snapshot is of.
type SnapshotHeader struct {
	RangeID  kv.RangeID
	From, To kv.ReplicaDescriptor
	RaftTerm uint64 // the sender's term, as in its other messages
	// Index and Term name the last entry that the state contains.
	Index, Term uint64
	Desc        *kv.RangeDescriptor
}

// Size is the length of Encode's output.
func (h *SnapshotHeader) Size() int {
	return codec.SizeVarint(int64(h.RangeID)) + h.From.Size() + h.To.Size() + codec.SizeUvarint(h.RaftTerm) +
		codec.SizeUvarint(h.Index) + codec.SizeUvarint(h.Term) + h.Desc.Size()
}

// Encode appends the header.
func (h *SnapshotHeader) Encode(b []byte) []byte {
	b = codec.AppendVarint(b, int64(h.RangeID))
	b = h.To.Encode(h.From.Encode(b))
	b = codec.AppendUvarint(codec.AppendUvarint(codec.AppendUvarint(b, h.RaftTerm), h.Index), h.Term)
	return h.Desc.Encode(b)
}

// DecodeSnapshotHeader reads what Encode wrote.
func DecodeSnapshotHeader(r *codec.Reader) SnapshotHeader {
	return SnapshotHeader{
		RangeID: kv.RangeID(r.Varint()), From: kv.DecodeReplicaDescriptor(r), To: kv.DecodeReplicaDescriptor(r),
		RaftTerm: r.Uvarint(), Index: r.Uvarint(), Term: r.Uvarint(), Desc: kv.DecodeRangeDescriptor(r),
	}
}

// Snapshot is the whole replicated state of a range at one index.
type Snapshot struct {
	SnapshotHeader
	// Chunks are representations of storage batches that put every key.
	Chunks [][]byte
}

// SnapshotReader reads a range's state, as it was when the reader was made, in
// chunks. It must be closed.
type SnapshotReader struct {
	SnapshotHeader
	snap  *storage.Snapshot
	spans [3]keys.Span
	span  int      // the one being read
	next  keys.Key // where to go on in it; nil: at its start
}

// NewSnapshot fixes the present state for to.
func (r *Replica) NewSnapshot(to kv.ReplicaDescriptor) *SnapshotReader {
	return &SnapshotReader{
		SnapshotHeader: SnapshotHeader{
			RangeID: r.rangeID, From: r.self, To: to, RaftTerm: r.term,
			Index: r.state.AppliedIndex, Term: r.state.AppliedTerm, Desc: r.state.Desc,
		},
		snap:  r.engine.NewSnapshot(),
		spans: ReplicatedSpans(r.state.Desc),
	}
}

// Close lets go of the state.
func (s *SnapshotReader) Close() { s.snap.Close() }

// Next returns the next chunk, of about limit bytes, and whether it is the last.
func (s *SnapshotReader) Next(limit int64) (chunk []byte, last bool, err error) {
	var b storage.Batch
	for ; s.span < len(s.spans); s.span, s.next = s.span+1, nil {
		full, err := s.read(&b, limit)
		if err != nil {
			return nil, false, err
		}
		if full {
			return b.Repr(), false, nil
		}
	}
	return b.Repr(), true, nil
}

// read adds keys of the current span to b, and reports whether b is full.
func (s *SnapshotReader) read(b *storage.Batch, limit int64) (full bool, err error) {
	lo := s.spans[s.span].Key
	if s.next != nil {
		lo = s.next
	}
	it := s.snap.NewIter(lo, s.spans[s.span].EndKey)
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if int64(b.Size()) >= limit {
			s.next = keys.Key(it.Key()).Clone()
			return true, nil
		}
		b.Put(it.Key(), it.Value())
	}
	return false, it.Err()
}

// ReportSnapshot tells the leader what became of a snapshot that it asked to be
// sent.
func (r *Replica) ReportSnapshot(to kv.ReplicaID, sent bool) {
	status := raft.SnapshotFinish
	if !sent {
		status = raft.SnapshotFailure
	}
	if r.gone {
		return
	}
	r.rn.ReportSnapshot(uint64(to), status)
	r.cfg.Host.Ready(r)
}

// Receive offers r a complete snapshot. It reports whether r took it, which it does
// when that brings it forward.
func (r *Replica) Receive(s *Snapshot) bool {
	r.wake(false)
	r.rearm(false)
	r.incoming = s
	_ = r.rn.Step(raftpb.Message{
		Type: raftpb.MsgSnap, From: uint64(s.From.ReplicaID), To: uint64(r.self.ReplicaID), Term: s.RaftTerm,
		Snapshot: &raftpb.Snapshot{Metadata: raftpb.SnapshotMetadata{
			Index: s.Index, Term: s.Term, ConfState: confState(s.Desc),
		}},
	})
	r.Drain()
	r.cfg.Host.Ready(r)
	if r.incoming != nil {
		r.cfg.Env.Probe(probeSnapshotIgnored)
		r.incoming = nil
		return false
	}
	return true
}

// installSnapshot stages the replacement of the whole state and log. It is one
// batch, hence one record of the engine's log: there is no state in between. What
// was there goes first, in the old bounds and the new, or a key that was deleted
// while r was away would live on.
func (r *Replica) installSnapshot(b *storage.Batch, m *raftpb.Snapshot) {
	s := r.incoming
	if s == nil || s.Index != m.Metadata.Index || s.Term != m.Metadata.Term {
		panic(fmt.Sprintf("replica: no data for the snapshot at %d", m.Metadata.Index))
	}
	for _, d := range []*kv.RangeDescriptor{r.state.Desc, s.Desc} {
		for _, span := range ReplicatedSpans(d) {
			b.DeleteRange(span.Key, span.EndKey)
		}
	}
	for _, c := range s.Chunks {
		if err := b.AppendRepr(c); err != nil {
			r.cfg.Env.Fatal(fmt.Errorf("replica: r%d: snapshot at %d: %w", r.rangeID, s.Index, err))
		}
	}
	for _, o := range r.subsumed(s) {
		deleteRangeID(b, o.rangeID, NeverAgain)
	}
	r.log.reset(b, entryID{s.Index, s.Term})
	r.truncations = nil
}

// snapshotInstalled runs when the engine shows the new state: memory follows, and
// whatever watches the state is told before anything else runs.
func (r *Replica) snapshotInstalled() {
	s := r.incoming
	r.incoming = nil
	prev, merged := r.state.Lease, r.state.Desc.EndKey.Less(s.Desc.EndKey)
	for _, o := range r.subsumed(s) {
		r.cfg.Env.Probe(probeSubsumedBySnap)
		r.absorb(o)
	}
	r.state.Desc = s.Desc
	err := r.state.load(r.engine, r.rangeID)
	if err == nil && r.state.AppliedIndex != s.Index {
		err = fmt.Errorf("snapshot at %d holds the state of %d", s.Index, r.state.AppliedIndex)
	}
	if err != nil {
		r.cfg.Env.Fatal(fmt.Errorf("replica: r%d: %w", r.rangeID, err))
	}
	if d, ok := s.Desc.ReplicaByID(r.self.ReplicaID); ok {
		r.self = d
	}
	r.cfg.Env.Probe(probeSnapshotInstalled)
	r.skipped()
	if o := r.cfg.Observer; o != nil {
		o.SnapshotApplied(r, s.Index)
	}
	if r.state.Lease == prev && !merged {
		return
	}
	reads, err := r.loadReads(r.engine)
	if err != nil {
		r.cfg.Env.Fatal(err)
	}
	if merged {
		r.readOnTheRight(highest(&reads))
		if r.reads != nil {
			r.reads.Apply(reads)
		}
	}
	if r.state.Lease != prev {
		r.leaseApplied(prev, r.state.Lease, reads)
	}
}
