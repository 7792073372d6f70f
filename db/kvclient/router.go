package kvclient

import (
	"math/rand/v2"
	"sort"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Config says where a Router is.
type Config struct {
	Self kv.NodeID
	// FirstRange is the descriptor of the range that holds meta1, as far as it is
	// known: at boot from the cluster's configuration. The Router finds out about
	// changes from those whom it asks.
	FirstRange func() *kv.RangeDescriptor
}

// Router is a kv.Sender that delivers batches to leaseholders. See the package
// comment.
type Router struct {
	p       env.Process
	tr      Transport
	cfg     Config
	set     settings
	rand    *rand.Rand
	cache   cache
	flights map[string]*env.Promise[struct{}] // lookups in progress, by meta key

	first     *entry              // see firstRange
	firstSeen *kv.RangeDescriptor // the newest that was heard of
}

// NewRouter returns a Router with an empty cache.
func NewRouter(p env.Process, tr Transport, cfg Config) *Router {
	return &Router{p: p, tr: tr, cfg: cfg, set: readSettings(p), rand: p.Rand("kvclient.backoff"), flights: make(map[string]*env.Promise[struct{}])}
}

// op is one batch on its way to one range.
type op struct {
	r        *Router
	t        env.Task
	ba       *kv.BatchRequest
	span     keys.Span
	below    bool          // look the range up by the keys below span.EndKey
	safe     bool          // may be sent again whatever became of it
	sticky   bool          // may be sent again, but doubt about its outcome stays
	deadline time.Duration // by Mono
	backoff  backoff
	last     *kv.Error // why it was refused last
	doubt    *kv.Error // sticky: an attempt had an unknown outcome
	// behind is a descriptor from the index that is older than what is known of a part
	// of it, while of the rest nothing is known: a split whose intents are there still.
	// Whoever it names knows more.
	behind *entry
	asked  [8]uint8        // of each replica, how often in this round; room for most ranges
	first  kv.BatchRequest // what the first attempt sends; later ones have their own
	tried  bool
}

// enough is how often a replica is asked in one round at most: twice, since it may
// learn late of its lease. That also ends the game of two that name each other.
const enough = 2

func (r *Router) newOp(t env.Task, ba *kv.BatchRequest, deadline time.Duration) *op {
	o := &op{r: r, t: t, ba: ba, span: ba.Span(), deadline: deadline, backoff: r.set.backoff(r.rand)}
	if ba.Txn == nil {
		o.safe = ba.Repeatable()
	} else {
		// What a transaction sends may be executed twice without harm, commits too. But
		// what a second commit meets says nothing of what became of the first.
		o.safe = ba.Repeatable()
		o.sticky = !o.safe
	}
	return o
}

// Send implements kv.Sender.
func (r *Router) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if err := ba.Validate(); err != nil {
		return kv.ErrorResponse(err)
	}
	o := r.newOp(t, ba, r.set.deadline(r.p, t, ba.Deadline))
	if ba.Txn != nil {
		// Proofs wait for replication. A record in another range need not wait for them:
		// it is staged meanwhile. In one range the commit follows the proofs, explicitly:
		// that is one command where staging, committing and resolving are two or three.
		if e := o.cached(); stagesWithProofs(ba) && (e == nil || !e.desc.ContainsSpan(o.span)) {
			r.p.Probe(ProbeDivided)
			return r.sendDivided(t, ba, o.deadline, true)
		}
		o.ba = ba.WithoutProven()
	}
	br, crosses := o.send()
	switch {
	case !crosses:
		return br
	case ba.Txn == nil && !o.safe:
		return kv.ErrorResponse(kv.Errorf(kv.BatchCrossesRanges, "%s", o.span))
	case ba.Txn == nil && ba.ReadsOnly():
		r.p.Probe(ProbeCrossed)
	default:
		r.p.Probe(ProbeDivided)
	}
	if limited(ba) {
		return o.settle(r.sendParts(t, ba, o.deadline))
	}
	return o.settle(r.sendDivided(t, ba, o.deadline, o.sticky))
}

// settle keeps doubt: once an attempt of a commit, or of a part of one, had an unknown
// outcome, no error of a later attempt is the outcome of the batch. A success is,
// unless writes were moved up: the first attempt may have committed the transaction,
// with the help of others, and the second one was then moved above its own values.
func (o *op) settle(br *kv.BatchResponse) *kv.BatchResponse {
	if o.doubt == nil || br.Err != nil && br.Err.Ambiguous() {
		return br
	}
	why := "success above the first attempt's timestamp"
	switch {
	case br.Err != nil:
		why = br.Err.Error()
	case br.Txn == nil || br.Txn.Status == kv.Committed || br.Txn.WriteTS.LessEq(o.ba.Txn.WriteTS):
		return br
	}
	o.r.p.Probe(ProbeAmbiguous)
	return &kv.BatchResponse{Err: kv.AmbiguousError(o.doubt, "an earlier attempt may have committed; then: %s", why), Txn: br.Txn}
}

// send delivers the batch to the range that holds its span. crosses says that there
// is no such range; then nothing was sent, or, of a batch that is sticky, there is
// doubt.
func (o *op) send() (br *kv.BatchResponse, crosses bool) {
	br, crosses = o.deliver()
	if !crosses {
		br = o.settle(br)
	}
	return br, crosses
}

func (o *op) deliver() (br *kv.BatchResponse, crosses bool) {
	r := o.r
	looked := false // the present entry comes from a lookup made for this batch
	for {
		if err := o.expired(); err != nil {
			return kv.ErrorResponse(err), false
		}
		e, fresh, err := o.lookup()
		if err != nil {
			return kv.ErrorResponse(err), false
		}
		looked = looked || fresh
		if !e.desc.ContainsSpan(o.span) {
			if o.span.IsPoint() {
				// No range is too small for a point: what is known of the ranges here is about
				// to change (scenario clocks-beyond-bounds, seed 3).
				r.evict(e)
				looked = false
				if err := o.pause(); err != nil {
					return kv.ErrorResponse(err), false
				}
				continue
			}
			if o.safe || o.sticky || looked {
				return nil, true
			}
			// The ranges may have merged since: do not refuse by hearsay.
			r.evict(e)
			continue
		}
		br, again := o.sendToReplicas(e)
		if !again {
			return br, false
		}
		if now := o.cached(); now != nil && now != e {
			continue // something else is known now: no reason to wait
		}
		r.p.Probe(ProbeExhausted)
		r.evict(e)
		looked = false
		if err := o.pause(); err != nil {
			return kv.ErrorResponse(err), false
		}
	}
}

// expired returns a definite error once the time is up: no attempt is under way
// whose outcome is unknown.
func (o *op) expired() *kv.Error {
	if err := o.t.Err(); err != nil {
		return o.timeout(err)
	}
	if o.r.p.Mono() >= o.deadline {
		return o.timeout(env.ErrDeadline)
	}
	return nil
}

func (o *op) timeout(err error) *kv.Error {
	e := kv.Errorf(kv.Timeout, "%v", err)
	e.Cause = o.last
	return e
}

func (o *op) pause() *kv.Error {
	if err := o.backoff.pause(o.t, o.r.p, o.deadline); err != nil {
		return o.timeout(err)
	}
	return nil
}

// sendToReplicas asks one replica after the other, and first whoever is said to
// hold the lease. again says that all refused, or that the descriptor is stale.
func (o *op) sendToReplicas(e *entry) (br *kv.BatchResponse, again bool) {
	r := o.r
	asked := o.asked[:]
	if n := len(e.desc.Replicas); n > len(asked) {
		asked = make([]uint8, n)
	}
	clear(asked)
	for {
		i := r.choose(e, asked)
		if i < 0 {
			return nil, true
		}
		target := e.desc.Replicas[i]
		asked[i]++
		if err := o.expired(); err != nil {
			return kv.ErrorResponse(err), false
		}
		br, err := o.attempt(e, target)
		if err != nil {
			if o.unknown(err) {
				r.p.Probe(ProbeAmbiguous)
				cause := kv.Errorf(kv.NodeUnavailable, "%v", err)
				return kv.ErrorResponse(kv.AmbiguousError(cause, "no answer from n%d", target.NodeID)), false
			}
			o.last = kv.Errorf(kv.NodeUnavailable, "%v", err)
			e.doubt(target)
			asked[i] = enough
			continue
		}
		switch {
		case br.Err == nil:
			o.learn(e, target, br)
			return br, false
		case !br.Err.Refused():
			return br, false
		case o.refused(e, target, br.Err):
			return nil, true
		case br.Err.Kind != kv.NotLeaseholder:
			asked[i] = enough
		}
	}
}

// attempt sends the batch once.
func (o *op) attempt(e *entry, target kv.ReplicaDescriptor) (*kv.BatchResponse, error) {
	r := o.r
	left := o.deadline - r.p.Mono()
	if o.safe && o.ba.Txn == nil && o.ba.ReadsOnly() {
		left = min(left, r.set.readAttempt)
	}
	ba := &o.first
	if o.tried {
		ba = new(kv.BatchRequest) // the first may still be on its way
	}
	o.tried = true
	*ba = *o.ba
	ba.RangeID = e.desc.RangeID
	ba.Deadline = max(answerIn(left), 1)
	if ba.Gateway == 0 {
		ba.Gateway = r.cfg.Self
	}
	br, err := r.tr.Send(o.t, target.NodeID, ba, left)
	if err == nil && br.Err == nil {
		if err := kv.CheckResponse(ba, br); err != nil {
			return nil, err // not an *rpc.Error: unknown
		}
	}
	if err == nil && br.Err != nil && br.Err.Ambiguous() {
		// The replica itself does not know. For a batch that does not only read, that
		// is the result; the response says why.
		if !o.safe && !o.sticky {
			return br, nil
		}
		return nil, br.Err
	}
	return br, err
}

// unknown reports that the failed attempt may have had an effect. If so no further
// one may be made, and no later answer could be told from an answer to this one.
func (o *op) unknown(err error) bool {
	if !rpc.MaybeSent(err) {
		return false
	}
	switch {
	case o.sticky:
		o.r.p.Probe(ProbeTxnResent)
		o.doubt = kv.Errorf(kv.NodeUnavailable, "%v", err)
		return false
	case o.safe && o.ba.Txn != nil:
		o.r.p.Probe(ProbeTxnResent)
		return false
	case o.safe:
		o.r.p.Probe(ProbeReadRetried)
		return false
	}
	return true
}

// refused takes in what a replica's refusal says, which means that the batch was not
// executed there. It reports whether the descriptor is of no use any more.
func (o *op) refused(e *entry, target kv.ReplicaDescriptor, err *kv.Error) (stale bool) {
	r := o.r
	o.last = err
	newer := false
	for _, d := range err.Descs {
		newer = r.insert(d) || newer
	}
	if now := o.cached(); newer && now != e {
		r.p.Probe(ProbeStale)
		if now != nil {
			now.learn(err.Lease)
		}
		return true
	}
	if err.Kind == kv.RangeKeyMismatch {
		// With no better descriptor to go by, meta2 has to be asked, and may not know
		// yet either: send pauses.
		r.p.Probe(ProbeStale)
		return true
	}
	e.doubt(target)
	if err.Kind == kv.NotLeaseholder && e.learn(err.Lease) && e.holder != target.ReplicaID {
		r.p.Probe(ProbeRedirected)
	}
	return false
}

// doubt has somebody else asked first, because target would not or could not serve.
func (e *entry) doubt(target kv.ReplicaDescriptor) {
	if e.holder == target.ReplicaID {
		e.holder = 0
	}
}

// learn takes in the hints that come with an answer. Whoever answered without one
// holds the lease.
func (o *op) learn(e *entry, target kv.ReplicaDescriptor, br *kv.BatchResponse) {
	if o.r.insert(br.Desc) {
		if e = o.cached(); e == nil {
			return
		}
	}
	if br.Lease != nil {
		e.learn(br.Lease)
	} else if _, ok := e.desc.ReplicaByID(target.ReplicaID); ok {
		e.holder = target.ReplicaID
	}
}

// choose is the index of the replica to ask next: the leaseholder, and then of those
// who were not asked the nearest; -1 if there is none. Learners are not asked.
func (r *Router) choose(e *entry, asked []uint8) int {
	best, bestDistance := -1, time.Duration(0)
	for i, d := range e.desc.Replicas {
		if d.Type == kv.Learner || d.Type == kv.NonVoter || asked[i] >= enough {
			continue
		}
		if d.ReplicaID == e.holder {
			return i
		}
		if asked[i] > 0 {
			continue // a second time only if it is said to hold the lease
		}
		if distance := r.tr.Distance(d.NodeID); best < 0 || distance < bestDistance {
			best, bestDistance = i, distance
		}
	}
	return best
}

// Cached lists the ranges that the Router knows of, by key, for people and tests.
func (r *Router) Cached() []*kv.RangeDescriptor {
	descs := make([]*kv.RangeDescriptor, len(r.cache.entries))
	for i, e := range r.cache.entries {
		descs[i] = e.desc
	}
	sort.SliceStable(descs, func(i, j int) bool { return descs[i].StartKey.Less(descs[j].StartKey) })
	return descs
}
