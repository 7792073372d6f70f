package store

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// ResolveLocks implements concurrency.Transactions. It does not try again beyond what the
// Sender does by itself: who asks looks first whether the locks still stand.
func (x *Txns) ResolveLocks(t env.Task, ups []kv.LockUpdate) *kv.Error {
	_, err := x.resolve(t, ups)
	return err
}

// resolve has the updates done in their order, several points in one batch, and spans
// by themselves and piece by piece. left are those that are not known to be done.
func (x *Txns) resolve(t env.Task, ups []kv.LockUpdate) (left []kv.LockUpdate, err *kv.Error) {
	for len(ups) > 0 {
		if !ups[0].Span.IsPoint() {
			if rest, err := x.resolveSpan(t, ups[0]); err != nil {
				ups = append([]kv.LockUpdate{rest}, ups[1:]...)
				return ups, err
			}
			ups = ups[1:]
			continue
		}
		var reqs []kv.Request
		for len(reqs) < len(ups) && len(reqs) < x.set.resolveBatch && ups[len(reqs)].Span.IsPoint() {
			reqs = append(reqs, resolveRequest(ups[len(reqs)]))
		}
		if br := x.send(t, kv.Header{}, reqs...); br.Err != nil {
			return ups, br.Err
		}
		ups = ups[len(reqs):]
	}
	return nil, nil
}

// resolveSpan resolves the locks in a span, a limited number at a time: nobody knows how
// many there are. rest is what is not known to be done if it fails.
func (x *Txns) resolveSpan(t env.Task, u kv.LockUpdate) (rest kv.LockUpdate, err *kv.Error) {
	for {
		br := x.send(t, kv.Header{MaxKeys: int64(x.set.resolveBatch)}, resolveRequest(u))
		if br.Err != nil {
			return u, br.Err
		}
		resume := kv.ResumeOf(br.Responses[0])
		if resume.IsPoint() {
			return kv.LockUpdate{}, nil
		}
		x.p.Probe(probeResolveResumed)
		u.Span = resume
	}
}

// resolveRequest asks for an update. With the locks of an aborted transaction its
// provisional values go, and whoever coordinates it may not know yet: a note in the
// abort span keeps its requests from taking that for what it wrote.
func resolveRequest(u kv.LockUpdate) kv.Request {
	if u.Status == kv.Staging {
		panic("store: locks are to be resolved of a transaction whose fate is open: " + u.String())
	}
	return kv.ResolveRequest(u, u.Status == kv.Aborted)
}

// updatesOf are what has become of the transaction, at each of the spans.
func updatesOf(txn *kv.Txn, spans []keys.Span) []kv.LockUpdate {
	ups := make([]kv.LockUpdate, len(spans))
	for i, s := range spans {
		ups[i] = kv.UpdateOf(txn, s)
	}
	return ups
}
