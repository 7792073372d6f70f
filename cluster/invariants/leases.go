package invariants

import (
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
)

// lease notes a lease that was applied. A lease begins after the one before it has
// run out, unless its holder handed it over.
func (w *Watcher) lease(l *rangeLog, c *replica.Command) {
	next := c.Lease.Next
	w.leases++
	if c.Lease.Transfer {
		w.transfers++
	}
	if n := len(l.leases); n > 0 {
		prev := &l.leases[n-1]
		if next.Sequence == prev.Sequence {
			if next.Replica != prev.Replica || next.Start != prev.Start {
				w.problem("r%d: lease %s goes under the sequence of %s", l.id, next, prev.Lease)
			}
			prev.Lease = next
			return
		}
		if !c.Lease.Transfer && next.Replica != prev.Replica {
			if why := w.runOut(prev.Lease, next.Start); why != "" {
				w.problem("r%d: lease %s begins before %s has run out: %s", l.id, next, prev.Lease, why)
			}
		}
		if prev.servedBy != "" && !prev.maxServed.Less(next.Start) && !prev.maxServed.LessEq(handedOver(&c.Lease)) {
			w.problem("r%d: %s served a read at %s, at or after the start of the next lease %s", l.id, prev.servedBy, prev.maxServed, next)
		}
		written := prev.maxWrite
		if c.Lease.Transfer {
			// Where the future was written, that it was written before the start tells
			// those who read under the next lease that they may have missed it.
			written = prev.maxLocal
		}
		if !written.Less(next.Start) {
			w.problem("r%d: a write at %s under lease %s is not below the start of the next one %s", l.id, written, prev.Lease, next)
		}
	}
	l.leases = append(l.leases, leaseSpan{Lease: next, transfer: c.Lease.Transfer, readBefore: handedOver(&c.Lease)})
}

// handedOver is the highest timestamp at which the holder who handed a lease over says
// that it has served reads. A transaction that was pushed out of a reader's way, up to
// the end of the reader's uncertainty, goes on in the future, by every clock: what it reads
// there lies above the start of a lease that is handed over now.
func handedOver(c *replica.LeaseChange) hlc.Timestamp {
	high := c.Reads.Low
	for i := range c.Reads.Marks {
		high = high.Forward(c.Reads.Marks[i].TS)
	}
	return high
}

// Served implements replica.Observer: a read belongs to one lease, below its end,
// and at that moment nobody else may think that he holds one.
func (w *Watcher) Served(r *replica.Replica, at keys.Span, ts hlc.Timestamp, sequence int64) {
	w.served++
	l := w.rangeLog(r.RangeID())
	if l.into != 0 {
		w.problem("r%d: %s served a read at %s after r%d has taken the range in", l.id, r.Self(), ts, l.into)
	}
	for i := len(l.leases) - 1; i >= 0; i-- {
		span := &l.leases[i]
		if span.Sequence != sequence {
			continue
		}
		if !ts.Less(w.ends(span.Lease)) {
			w.problem("r%d: %s served a read at %s, past the end of %s", l.id, r.Self(), ts, span.Lease)
		}
		if i+1 < len(l.leases) && !ts.Less(l.leases[i+1].Start) && !ts.LessEq(l.leases[i+1].readBefore) {
			w.problem("r%d: %s served a read at %s, at or after the start of the next lease %s", l.id, r.Self(), ts, l.leases[i+1].Lease)
		}
		if span.maxServed.Less(ts) {
			span.maxServed, span.servedBy, span.servedAt = ts, r.Self().String(), at
		}
		w.heldByRecords(l, r, span.Lease)
		break
	}
	w.alone(l, r)
}

// within is a lease as it was over a part of its range, now that the range is divided: a
// read elsewhere is no matter of that side, which says nothing about it when it hands its
// lease over. Of a read on both sides it cannot be told where it left its mark.
func (s leaseSpan) within(side keys.Span) leaseSpan {
	if s.servedBy != "" && !side.Contains(s.servedAt) {
		s.maxServed, s.servedBy, s.servedAt = hlc.Timestamp{}, "", keys.Span{}
	}
	return s
}

// heldByRecords looks whether somebody has ended the epoch by which a replica serves at this
// moment, and that replica does not know.
func (w *Watcher) heldByRecords(l *rangeLog, r *replica.Replica, lease kv.Lease) {
	if lease.Epoch == 0 || !w.ClocksWithin() {
		return
	}
	w.byEpoch++
	if since, over := w.epochs.overSince(lease.Replica.NodeID, lease.Epoch); over {
		w.problem("r%d: %s served a read under %s, whose epoch was ended at %s", l.id, r.Self(), lease, since)
	}
}

// alone looks for a second replica that would serve at this moment, by its own
// clock and its own knowledge.
func (w *Watcher) alone(l *rangeLog, r *replica.Replica) {
	if w.cluster == nil || !w.ClocksWithin() {
		return
	}
	w.overlaps++
	for _, d := range r.Desc().Replicas {
		if d == r.Self() {
			continue
		}
		s := w.cluster.ServerOf(d.NodeID)
		if s == nil {
			continue
		}
		other := s.Store().Replica(l.id)
		if other != nil && other.LeaseStatus(reading(s.Clock())) == replica.LeaseValid {
			w.problem("r%d: while %s served a read, %s held a valid lease too: %s", l.id, r.Self(), other.Self(), other.State().Lease)
		}
	}
}

// reading is what a clock would give out now, without its giving out anything.
func reading(c *hlc.Clock) hlc.Timestamp {
	return c.Last().Forward(hlc.Timestamp{Wall: c.PhysicalNow()})
}
