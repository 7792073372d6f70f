package invariants

import (
	"simulacrum/db/kv"
	"simulacrum/db/store"
)

var _ store.ConsistencyObserver = (*Watcher)(nil)

// Compared implements store.ConsistencyObserver.
func (w *Watcher) Compared(kv.RangeID, int) { w.checked++ }

// Diverged implements store.ConsistencyObserver: the database itself found what must not
// be.
func (w *Watcher) Diverged(_ kv.RangeID, _ []kv.ReplicaDescriptor, verdict string) {
	w.problem("the consistency queue: %s", verdict)
}
