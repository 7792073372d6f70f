package replica

import "simulacrum/db/kv"

// trigger evaluates what a commit does to the range, beside its writes, which have been
// staged.
func (ev *evaluation) trigger(t *kv.CommitTrigger) error {
	if t.Split != nil {
		return ev.split(t.Split)
	}
	if t.Merge != nil {
		return ev.merge(t.Merge)
	}
	return kv.Errorf(kv.BadRequest, "%s is not known here", t)
}
