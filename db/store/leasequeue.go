package store

import (
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/placement"
	"simulacrum/sim/env"
)

// leaseWork hands leases over: off a node that drains, to where preferences want them, to
// where the requests come from, and to even out leases and load. A range whose replicas
// need repair comes first to the replicate queue.
type leaseWork struct{ *allocator }

// leasePatience is how long one range may keep the others waiting.
const leasePatience = 10 * time.Second

// need implements queueWork.
func (w *leaseWork) need(id kv.RangeID) int {
	_, d, ok := w.decide(id, nil)
	switch {
	case !ok || d.Action != placement.TransferLease:
		return 0
	case d.Reason.Cause == placement.Drains:
		return 3
	case d.Reason.Cause == placement.Preferred:
		return 2
	}
	return 1
}

// process implements queueWork.
func (w *leaseWork) process(t env.Task, id kv.RangeID) (verdict, error) {
	if !w.take(id) {
		return failed, nil
	}
	defer w.giveBack(id)
	r, d, ok := w.decide(id, w.rand)
	if !ok || d.Action != placement.TransferLease || w.hesitates(d) {
		return settled, nil
	}
	if err := w.carryOut(t, &r, d, &kv.TransferLeaseRequest{Key: r.Desc.StartKey, Target: d.LeaseTo}); err != nil {
		return failed, err
	}
	w.p.Probe(probeLeaseMoved)
	return settled, nil
}
