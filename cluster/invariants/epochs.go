package invariants

import (
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/liveness"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
)

// epochs is what the liveness records that were committed say, whoever knows of them.
type epochs struct {
	nodes map[kv.NodeID]*nodeEpochs // looked up only
}

// nodeEpochs is one node's record in the course of time.
type nodeEpochs struct {
	last  liveness.Record
	spans []epochSpan // ascending by epoch
}

// epochSpan is one epoch: from the version of the first record that shows it until the
// highest expiration that it was given.
type epochSpan struct {
	epoch        int64
	since, until hlc.Timestamp
}

func newEpochs() epochs { return epochs{nodes: map[kv.NodeID]*nodeEpochs{}} }

// apply takes in the liveness records that a batch writes. Nobody writes them by a
// transaction: what is written is committed.
func (e *epochs) apply(repr []byte) error {
	var b storage.Batch
	if err := b.SetRepr(repr); err != nil {
		return err
	}
	records := keys.NodeLivenessSpan()
	for _, op := range b.Ops() {
		if op.Kind != "put" || keys.Key(op.Key).Less(keys.LocalEnd) {
			continue
		}
		k, at, err := mvcc.DecodeKey(op.Key)
		if err != nil {
			return err
		}
		if !records.ContainsKey(k) || at.IsEmpty() {
			continue
		}
		_, v, _, err := mvcc.DecodeVersion(op.Key, op.Value)
		if err != nil {
			return err
		}
		r, err := liveness.DecodeRecord(v.Bytes)
		if err != nil {
			return err
		}
		if err := e.note(r, at); err != nil {
			return err
		}
	}
	return nil
}

// note takes in a record. The error says what no record may do.
func (e *epochs) note(r liveness.Record, at hlc.Timestamp) error {
	n := e.nodes[r.NodeID]
	if n == nil {
		n = &nodeEpochs{}
		e.nodes[r.NodeID] = n
	}
	before := n.last
	if r.Revision != before.Revision+1 || r.Epoch < before.Epoch || r.Expiration.Less(before.Expiration) {
		return fmt.Errorf("the record %s follows %s", &r, &before)
	}
	n.last = r
	if k := len(n.spans); k == 0 || n.spans[k-1].epoch < r.Epoch {
		// What the record says of the expiration was said of the epoch before, if somebody
		// else has ended that.
		n.spans = append(n.spans, epochSpan{epoch: r.Epoch, since: at})
	}
	span := &n.spans[len(n.spans)-1]
	span.until = span.until.Forward(r.Expiration)
	return nil
}

// span is an epoch of a node; nil if no record has shown it.
func (e *epochs) span(n kv.NodeID, epoch int64) *epochSpan {
	if of := e.nodes[n]; of != nil {
		for i := range of.spans {
			if of.spans[i].epoch == epoch {
				return &of.spans[i]
			}
		}
	}
	return nil
}

// overSince is the version of the first record that shows that an epoch is over; ok is
// false if none does.
func (e *epochs) overSince(n kv.NodeID, epoch int64) (since hlc.Timestamp, ok bool) {
	if of := e.nodes[n]; of != nil {
		for i := range of.spans {
			if of.spans[i].epoch > epoch {
				return of.spans[i].since, true
			}
		}
	}
	return hlc.Timestamp{}, false
}

// runOut says why a lease that was not handed over has not run out before start, "" if it
// has.
func (w *Watcher) runOut(l kv.Lease, start hlc.Timestamp) string {
	if l.Epoch == 0 {
		if l.Expiration.Less(start) {
			return ""
		}
		return "it has not expired"
	}
	switch since, over := w.epochs.overSince(l.Replica.NodeID, l.Epoch); {
	case !over:
		return "nobody has ended its epoch"
	case !since.Less(start):
		return fmt.Sprintf("its epoch was ended at %s", since)
	}
	return ""
}

// ends is a timestamp at which nothing is served any more under a lease.
func (w *Watcher) ends(l kv.Lease) hlc.Timestamp {
	if l.Epoch == 0 {
		return l.Expiration.Next()
	}
	if span := w.epochs.span(l.Replica.NodeID, l.Epoch); span != nil {
		return span.until
	}
	return hlc.Timestamp{}
}
