package server

import (
	"fmt"
	"strings"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// splitAt is a key of a client, or of meta2 if it begins with @.
func splitAt(s string) keys.Key {
	if after, ok := strings.CutPrefix(s, "@"); ok {
		return keys.Meta2Key(dialogueKey(after))
	}
	return dialogueKey(s)
}

// ranges tells which replicas nodes have, and who leads, has the lease, and how far the
// index agrees.
func (d *dialogue) ranges() {
	for _, n := range d.w.nodes {
		if n.server == nil {
			d.say("  n%d is down", n.id)
			continue
		}
		n.server.store.VisitReplicas(func(r *replica.Replica) bool {
			what := ""
			if r.IsLeader() {
				what += ", leads"
			}
			if r.HoldsLease() {
				what += ", has the lease"
			}
			counted := d.count(n, r)
			if counted != r.State().Stats {
				what += fmt.Sprintf(", counts %+v where there are %+v", r.State().Stats, counted)
			}
			d.say("  n%d  r%d [%s, %s) generation %d%s%s", n.id, r.RangeID(), shortKey(r.Desc().StartKey), shortKey(r.Desc().EndKey), r.Desc().Generation,
				formatPlaces(r.Desc()), what)
			return true
		})
	}
}

// move asks the holder of a lease, once, to hand it over.
func (d *dialogue) move(id kv.RangeID, to kv.NodeID, background bool) {
	n, r := d.w.replica(id)
	if n == nil {
		d.say("  nobody has the lease")
		return
	}
	d.step(n, "move", background, func(t env.Task) (string, error) {
		if _, err := r.TransferLease(t, kv.StoreID(to)); err != nil {
			return "", err
		}
		return "ok", nil
	})
}

// leases tells what each node takes the leases of ranges for, and what is known of whoever
// holds them.
func (d *dialogue) leases(names []string) {
	for _, name := range names {
		for _, n := range d.w.nodes[:replicas] {
			if n.server == nil {
				d.say("  n%d is down", n.id)
				continue
			}
			r := n.server.store.Replica(rangeID(name))
			l := r.State().Lease
			s := "an expiration"
			if l.Epoch > 0 {
				seen := n.server.liveness.Record(l.Replica.NodeID)
				s = fmt.Sprintf("epoch %d, where the record of n%d says %d", l.Epoch, l.Replica.NodeID, seen.Epoch)
			}
			d.say("  n%d  %s: lease %d of n%d, with %s: %s", n.id, name, l.Sequence, l.Replica.NodeID, s, r.LeaseStatus(n.server.now()))
		}
	}
}

func shortKey(k keys.Key) string {
	switch {
	case k.HasPrefix(keys.ClientStart) && len(k) > 1:
		return string(k[1:])
	case k.HasPrefix(keys.Meta2) && len(k) > 2:
		return "@" + string(k[2:])
	}
	return k.String()
}

// count counts what the replica's range holds.
func (d *dialogue) count(n *node, r *replica.Replica) mvcc.Stats {
	s := r.Desc().Span()
	if s.Key.Less(keys.LocalEnd) {
		s.Key = keys.LocalEnd
	}
	all, err := mvcc.ComputeStats(n.server.engine, s)
	if err != nil {
		d.t.Fatal(err)
	}
	it := n.server.engine.NewIter(mvcc.EncodeSpan(keys.RangeLocalSpan(r.Desc().Span())))
	defer it.Close()
	for ok := it.First(); ok; {
		k, _, err := mvcc.DecodeKey(it.Key())
		if err != nil {
			d.t.Fatal(err)
		}
		if _, _, record := keys.DecodeTxnRecordKey(k); !record {
			one, err := mvcc.ComputeStats(n.server.engine, keys.Span{Key: k})
			if err != nil {
				d.t.Fatal(err)
			}
			all.Add(one)
		}
		_, end := mvcc.EncodeSpan(keys.Span{Key: k})
		ok = it.SeekGE(end)
	}
	return all
}

// descriptorIn is the descriptor that a request writes where one belongs, or nil.
func descriptorIn(q kv.Request) *kv.RangeDescriptor {
	var val []byte
	switch q := q.(type) {
	case *kv.PutRequest:
		val = q.Value
	case *kv.ConditionalPutRequest:
		val = q.Value
	}
	if start, _, ok := keys.DecodeRangeLocal(q.Span().Key); !ok || !q.Span().Key.Equal(keys.RangeDescriptorKey(start)) {
		return nil
	}
	d, err := kv.ParseDescriptor(val)
	if err != nil {
		return nil
	}
	return d
}
