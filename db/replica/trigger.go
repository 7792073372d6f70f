package replica

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// trigger evaluates what a commit does to the range, beside its writes, which have been
// staged.
func (ev *evaluation) trigger(t *kv.CommitTrigger) error {
	switch {
	case t.Split != nil:
		return ev.split(t.Split)
	case t.Merge != nil:
		return ev.merge(t.Merge)
	case t.Change != nil:
		return ev.change(t.Change)
	}
	return kv.Errorf(kv.BadRequest, "%s is not known here", t)
}

// commits returns an error unless the writes that have been staged commit the descriptor:
// what a trigger makes of a range must be what everybody reads.
func (ev *evaluation) commits(d *kv.RangeDescriptor) error {
	written := false
	err := visitDescriptor(ev.r.engine.NewOverlay(&ev.batch), keys.RangeDescriptorKey(d.StartKey), d.StartKey, func(is *kv.RangeDescriptor) error {
		written = is.String() == d.String()
		return nil
	})
	if err == nil && !written {
		err = kv.Errorf(kv.BadRequest, "the transaction does not commit %s", d)
	}
	return err
}
