package kvclient

import (
	"slices"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// piece is a request of a batch, or the part of one that lies in one range.
type piece struct {
	index   int // of the request in the batch
	request kv.Request
}

// group is what goes to one range, in the order of the batch.
type group struct {
	r     *Router
	desc  *kv.RangeDescriptor // what was known of the range; two groups may go to the same
	proof bool                // proofs that go with a commit, apart from it
	ba    *kv.BatchRequest
	at    []int // of each request, the index in the undivided batch
	whole bool  // it is the batch itself, which was not to be divided by what was known

	deadline time.Duration
	commit   bool // part of a commit: doubt about it is doubt about the whole
	done     env.Promise[*kv.BatchResponse]
	answer   *kv.BatchResponse // once done, or given up
}

// sendDivided sends a batch without limits that crosses ranges, range by range, all
// at once. Requests for the same keys stay in order. An EndTxn comes last, unless it
// stages the record: then it goes with all else, since what counts is only that
// everything succeeds. commit says that doubt about a part is doubt about the whole.
func (r *Router) sendDivided(t env.Task, ba *kv.BatchRequest, deadline time.Duration, commit bool) *kv.BatchResponse {
	et := ba.EndTxn()
	n := len(ba.Requests) - 1
	if et != nil && len(et.InFlight) == 0 && n > 0 {
		return r.sendEndLast(t, ba, deadline)
	}
	groups, err := r.groups(t, ba, deadline, et != nil)
	if err != nil {
		return kv.ErrorResponse(err)
	}
	for _, g := range groups[1:] {
		g.commit = commit
		r.p.Go("part of a batch", func(t env.Task) { g.done.Resolve(g.send(t), nil) })
	}
	groups[0].commit, groups[0].whole = commit, len(groups) == 1
	groups[0].done.Resolve(groups[0].send(t), nil)
	return r.gather(t, ba, groups, deadline, commit)
}

// stagesWithProofs reports that the batch stages a record and looks for writes that
// came before.
func stagesWithProofs(ba *kv.BatchRequest) bool {
	et := ba.EndTxn()
	if et == nil || len(et.InFlight) == 0 {
		return false
	}
	for _, r := range ba.Requests {
		if r.Method() == kv.QueryIntent {
			return true
		}
	}
	return false
}

// sendEndLast sends all else first, and then the EndTxn with what came of it.
func (r *Router) sendEndLast(t env.Task, ba *kv.BatchRequest, deadline time.Duration) *kv.BatchResponse {
	n := len(ba.Requests) - 1
	first := with(ba, ba.Requests[:n])
	first.CanForwardReadTS = false
	br := r.sendDivided(t, first, deadline, false)
	if br.Err != nil {
		return br
	}
	last := with(ba, ba.Requests[n:])
	last.CanForwardReadTS = false
	last.Txn.Update(br.Txn)
	o := r.newOp(t, last, deadline)
	end, _ := o.send()
	c := *end
	c.Txn = merged(ba.Txn, br.Txn, end.Txn)
	if end.Err != nil {
		if end.Err.Index == 0 {
			e := *end.Err
			e.Index = int32(n)
			c.Err = &e
		}
		return &c
	}
	c.Responses = append(append(make([]kv.Response, 0, n+1), br.Responses...), end.Responses...)
	return &c
}

// merged is what several answers say of a transaction, nil if nothing.
func merged(txn *kv.Txn, news ...*kv.Txn) *kv.Txn {
	if txn == nil {
		return nil
	}
	c := *txn
	any := false
	for _, n := range news {
		if n != nil {
			c.Update(n)
			any = true
		}
	}
	if !any {
		return nil
	}
	return &c
}

// groups divides the batch by what is known of ranges. What is not true is found out
// by those who are asked.
func (r *Router) groups(t env.Task, ba *kv.BatchRequest, deadline time.Duration, staging bool) ([]*group, *kv.Error) {
	var all []*group
	for i, request := range ba.Requests {
		rest := request.Span()
		reverse := request.Method() == kv.ReverseScan
		for {
			here := *ba
			here.Requests = []kv.Request{request}
			if request.Method().Ranged() {
				here.Requests[0] = kv.WithSpan(request, rest)
			}
			o := r.newOp(t, &here, deadline)
			o.below = reverse
			e, _, err := o.lookup()
			if err != nil {
				return nil, err
			}
			part := here.Requests[0]
			if request.Method().Ranged() {
				s, ok := rest.Intersect(e.desc.Span())
				if !ok {
					r.evict(e)
					continue
				}
				part = kv.WithSpan(request, s)
				if reverse {
					rest.EndKey = s.Key
				} else {
					rest.Key = s.EndKey
				}
			}
			all = r.assign(all, ba, e.desc, piece{i, part}, staging && request.Method() == kv.QueryIntent, deadline)
			if !request.Method().Ranged() || !rest.Key.Less(rest.EndKey) {
				break
			}
		}
	}
	return all, nil
}

// assign puts a piece into the group of its range. What is known of a range changes while
// a batch is divided, and an index that is behind in one entry and not in the next
// names a range twice, once with each extent: a piece joins a group if that range, as it was
// thought to be, holds it, or if it must stay in order with what the group has (scenario
// index-of-two-ages). Proofs that go with a commit have groups of their own: they wait for
// the writes that they prove, and nothing else should.
func (r *Router) assign(all []*group, ba *kv.BatchRequest, desc *kv.RangeDescriptor, p piece, proof bool, deadline time.Duration) []*group {
	var g *group
	for _, x := range all {
		if x.proof == proof && (x.desc.ContainsSpan(p.request.Span()) || x.overlaps(p.request.Span())) {
			g = x
		}
	}
	if g == nil {
		g = &group{r: r, desc: desc, proof: proof, deadline: deadline, ba: &kv.BatchRequest{Header: ba.Header}}
		g.ba.CanForwardReadTS = false // else each part might move up by itself
		all = append(all, g)
	}
	g.ba.Requests = append(g.ba.Requests, p.request)
	g.at = append(g.at, p.index)
	return all
}

// overlaps reports that the group has requests for the same keys.
func (g *group) overlaps(s keys.Span) bool {
	return slices.ContainsFunc(g.ba.Requests, func(r kv.Request) bool { return r.Span().Overlaps(s) })
}

// send delivers the group, dividing it further if its range has been split.
func (g *group) send(t env.Task) *kv.BatchResponse {
	o := g.r.newOp(t, g.ba, g.deadline)
	o.sticky = g.commit
	if g.commit {
		o.safe = false
	}
	if g.ba.Txn != nil {
		// Only as far as it stays in one range: divided further, the group is g.ba.
		o.ba = g.ba.WithoutProven()
	}
	br, crosses := o.send()
	if !crosses {
		return br
	}
	if g.whole {
		// By what was known when it was divided one range holds it all, and by what is known
		// now none does. Where a lookup takes no time this could change for ever at
		// one instant: what is known is behind, and it takes time until it no longer is.
		if err := o.pause(); err != nil {
			return o.settle(kv.ErrorResponse(err))
		}
	}
	return o.settle(g.r.sendDivided(t, g.ba, g.deadline, g.commit))
}

// gather waits for all groups and joins what they answer.
func (r *Router) gather(t env.Task, ba *kv.BatchRequest, groups []*group, deadline time.Duration, commit bool) *kv.BatchResponse {
	all := &kv.BatchResponse{}
	answers := make([][]answered, len(ba.Requests))
	var failed *kv.Error
	var news []*kv.Txn
	staged := true // or it is not known that it is not
	for _, g := range groups {
		// The group's task ends by the deadline itself; a moment more lets it say why.
		br, err := g.done.Wait(t, "parts of a batch", max(deadline-r.p.Mono(), 0)+time.Second)
		if err != nil {
			e := kv.Errorf(kv.Timeout, "%v", err)
			if commit {
				e = kv.AmbiguousError(e, "part of a commit is under way")
			}
			br = kv.ErrorResponse(e)
		}
		g.answer = br
		if g.ba.EndTxn() != nil && br.Err != nil && !br.Err.Ambiguous() {
			staged = false
		}
	}
	for _, g := range groups {
		br := g.answer
		news = append(news, br.Txn)
		if br.Err != nil {
			failed = worse(failed, g.placed(g.doubted(br.Err, staged)))
			continue
		}
		for i, response := range br.Responses {
			at := g.at[i]
			answers[at] = append(answers[at], answered{g.ba.Requests[i].Span().Key, response})
		}
		all.Timestamp = all.Timestamp.Forward(br.Timestamp)
	}
	all.Txn = merged(ba.Txn, news...)
	if failed != nil {
		return &kv.BatchResponse{Err: failed, Txn: all.Txn}
	}
	if ba.Txn == nil {
		all.Timestamp = ba.Timestamp // the parts executed each at its own
	}
	all.Responses = make([]kv.Response, len(ba.Requests))
	for i, pieces := range answers {
		all.Responses[i] = assembled(pieces, ba.Requests[i].Method() == kv.ReverseScan)
	}
	return all
}

// answered is the response to a piece of a request, and where the piece begins.
type answered struct {
	key      keys.Key
	response kv.Response
}

// assembled is the response to a request, of those to its pieces. They are in the order
// of their groups, and the group of a range is as old as the first request that concerns
// it: not in the order of keys.
func assembled(pieces []answered, reverse bool) kv.Response {
	slices.SortStableFunc(pieces, func(a, b answered) int {
		if reverse {
			a, b = b, a
		}
		return a.key.Compare(b.key)
	})
	var all kv.Response
	for _, p := range pieces {
		all = joined(all, p.response)
	}
	return all
}

// doubted is the error of a group, as it counts for the whole. Proofs that were not
// delivered say nothing about the writes that they were to prove: with the record
// staged, the transaction is committed by these alone, and others may find that out
// (scenario registers, seed 5).
func (g *group) doubted(err *kv.Error, staged bool) *kv.Error {
	if g.proof && staged && (err.Refused() || err.Kind == kv.Timeout) {
		return kv.AmbiguousError(err, "a commit was staged, and a proof did not arrive")
	}
	return err
}

// placed is the error with its index in the undivided batch.
func (g *group) placed(err *kv.Error) *kv.Error {
	if err.Index < 0 || int(err.Index) >= len(g.at) {
		return err
	}
	e := *err
	e.Index = int32(g.at[err.Index])
	return &e
}

// worse is the error that counts: doubt before all else, then what ends the
// transaction, then what is no matter of retrying, then the first.
func worse(a, b *kv.Error) *kv.Error {
	if a == nil || rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(e *kv.Error) int {
	switch {
	case e.Ambiguous():
		return 3
	case e.Kind == kv.TransactionAborted:
		return 2
	case !e.Retryable():
		return 1
	}
	return 0
}
