package store

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// records has old transactions cleaned up after. local are the other keys that belong
// to keys of the range.
func (c *collection) records() (local []keys.Key, err error) {
	it := c.reader.NewIter(mvcc.EncodeSpan(keys.RangeLocalSpan(c.desc.Span())))
	defer it.Close()
	seen := int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		seen++
		k, _, err := mvcc.DecodeKey(it.Key())
		if err != nil {
			return nil, err
		}
		if _, _, ok := keys.DecodeTxnRecordKey(k); !ok {
			if n := len(local); n == 0 || !local[n-1].Equal(k) {
				local = append(local, k.Clone())
			}
			continue
		}
		txn, err := replica.DecodeRecord(it.Key(), it.Value())
		if err != nil {
			return nil, err
		}
		if c.old(txn) {
			c.q.s.cfg.Env.Probe(probeGCRecord)
			c.q.s.txns.abandoned(txn)
		}
	}
	c.q.s.cfg.Env.Charge(env.ClassKey, seen)
	return local, it.Err()
}

// old reports that the record may be of no use. Of a transaction that is not over,
// whoever evaluates the touch decides; those that are surely alive are spared it.
func (c *collection) old(txn *kv.Txn) bool {
	last := txn.LastActive()
	return last.LessEq(c.threshold) && (txn.Status.Finalized() || last.Add(c.q.abandoned).Less(c.now))
}

// notes removes old notes from the abort span, a batch at a time.
func (c *collection) notes() *kv.Error {
	for {
		old, err := c.oldNotes()
		if err != nil {
			c.damaged(err)
		}
		if len(old) == 0 {
			return nil
		}
		c.q.s.cfg.Env.Probe(probeGCNotes)
		if err := c.remove(old); err != nil || int64(len(old)) < c.q.batch {
			return err
		}
	}
}

func (c *collection) oldNotes() (old []kv.GCKey, err error) {
	span := keys.AbortSpan(c.desc.RangeID)
	it := c.reader.NewIter(span.Key, span.EndKey)
	defer it.Close()
	seen := int64(0)
	for ok := it.First(); ok && int64(len(old)) < c.q.batch; ok = it.Next() {
		seen++
		note, err := replica.DecodeAbortNote(it.Value())
		if err != nil {
			return nil, err
		}
		if note.At.Add(c.q.noteAge).Less(c.now) {
			old = append(old, kv.GCKey{Key: keys.Key(it.Key()).Clone()})
		}
	}
	c.q.s.cfg.Env.Charge(env.ClassKey, seen)
	return old, it.Err()
}

// versions removes the hidden versions of a point or span. The threshold is raised before
// the first goes, and not at all if none does.
func (c *collection) versions(s keys.Span) *kv.Error {
	for {
		found, rest, err := mvcc.FindGarbage(c.reader, s, c.threshold, c.q.batch)
		if err != nil {
			c.damaged(err)
		}
		if len(found) > 0 {
			if err := c.raise(); err != nil {
				return err
			}
			garbage := make([]kv.GCKey, len(found))
			for i, k := range found {
				garbage[i] = kv.GCKey{Key: k, Timestamp: c.threshold}
			}
			c.q.s.cfg.Env.Charge(env.ClassKey, int64(len(found)))
			if err := c.remove(garbage); err != nil {
				return err
			}
		}
		if rest.IsPoint() {
			return nil
		}
		s = rest
	}
}

// raise moves the range's threshold up, and returns when that has applied.
func (c *collection) raise() *kv.Error {
	if c.threshold.LessEq(c.inForce) {
		return nil
	}
	req := c.request()
	req.Threshold = c.threshold
	if err := c.send(req); err != nil {
		return err
	}
	c.inForce = c.threshold
	c.q.s.cfg.Env.Probe(probeGCRaised)
	return nil
}
