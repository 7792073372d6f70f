package kvclient

import (
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// lookup finds the range that holds the beginning of the op's span (or its end, if
// it is to be found from below), in the cache or in meta2. fresh says that it was
// read for this call.
func (o *op) lookup() (e *entry, fresh bool, err *kv.Error) {
	for {
		if e := o.cached(); e != nil {
			return e, fresh, nil
		}
		if err := o.expired(); err != nil {
			return nil, false, err
		}
		err := o.read()
		if err != nil && !err.Refused() && err.Kind != kv.Ambiguous {
			return nil, false, err
		}
		fresh = true
		if o.cached() != nil {
			continue
		}
		if e := o.behind; e != nil {
			o.behind = nil
			return e, fresh, nil
		}
		// Nobody knows the range, for now: meta2 may be about to change.
		o.last = err
		if o.last == nil {
			o.last = kv.Errorf(kv.NodeUnavailable, "no descriptor for %s in meta2", o.span)
		}
		if err := o.pause(); err != nil {
			return nil, false, err
		}
	}
}

// cached is the entry that holds, by what is known, the beginning of the op's span,
// or its end. Of keys up to those of meta1 there is always one.
func (o *op) cached() *entry {
	r := o.r
	var e *entry
	var inMeta1, inMeta2 bool
	var at keys.Span // a part of meta2 that the range holds, if it is the first
	if o.below {
		e = r.cache.findBelow(o.span.EndKey)
		inMeta1, inMeta2 = !keys.Meta2.Less(o.span.EndKey), !keys.Meta2End.Less(o.span.EndKey)
		at = keys.Span{Key: keys.Meta2, EndKey: o.span.EndKey}
	} else {
		e = r.cache.find(o.span.Key)
		inMeta1, inMeta2 = o.span.Key.Less(keys.Meta2), o.span.Key.Less(keys.Meta2End)
		at = keys.Span{Key: o.span.Key}
	}
	if e != nil || !inMeta2 {
		return e
	}
	if first := r.firstRange(); inMeta1 || first.desc.ContainsSpan(at) {
		return first
	}
	return nil
}

// firstRange is an entry for the range that holds meta1, for when the cache has
// none. It is not part of the cache, where newer entries of other ranges that this
// descriptor overlaps, being old, would keep it out.
func (r *Router) firstRange() *entry {
	if r.first == nil {
		r.first = &entry{desc: r.cfg.FirstRange()}
	}
	if d := r.firstSeen; d != nil && d.Generation > r.first.desc.Generation {
		r.first = &entry{desc: d}
	}
	return r.first
}

// insert takes a descriptor into the cache. Of the first range the newest that was ever
// seen is remembered, since there is nowhere to look it up.
func (r *Router) insert(d *kv.RangeDescriptor) (news bool) {
	r.remember(d)
	return r.cache.insert(d)
}

func (r *Router) remember(d *kv.RangeDescriptor) {
	if d != nil && len(d.StartKey) == 0 && (r.firstSeen == nil || d.Generation > r.firstSeen.Generation) {
		r.firstSeen = d
	}
}

// evict forgets e.
func (r *Router) evict(e *entry) {
	known := r.cache.evict(e)
	if r.first == e {
		r.first, known = nil, true
	}
	if known {
		r.remember(e.desc)
	}
}

// read has the descriptors at and above the span's beginning brought into the
// cache. Of several tasks that want the same only one reads, and the others wait.
// The error of a read that another made is none of theirs: they look again.
func (o *op) read() *kv.Error {
	r := o.r
	from, end := o.metaSpan()
	if flight := r.flights[string(from)]; flight != nil {
		r.p.Probe(ProbeCoalesced)
		if _, err := flight.Wait(o.t, "range lookup", max(o.deadline-r.p.Mono(), 0)); err != nil {
			return o.timeout(err)
		}
		return nil
	}
	flight := &env.Promise[struct{}]{}
	r.flights[string(from)] = flight
	err := o.readMeta(keys.Span{Key: from, EndKey: end})
	delete(r.flights, string(from))
	flight.Resolve(struct{}{}, nil)
	return err
}

// metaSpan is where in meta2, or for keys of meta2 in meta1, the wanted descriptor is
// the first. The range that holds a key has an end above it; the one that holds the keys
// below k has an end at k or above.
func (o *op) metaSpan() (from, end keys.Key) {
	if o.below {
		from, end, _ = keys.MetaKeyBelow(o.span.EndKey)
		return from, end
	}
	s, _ := keys.MetaSpan(o.span.Key)
	return s.Key, s.EndKey
}

// readMeta reads the first descriptors of s, a span of meta2 or of meta1, into the cache.
// It goes from range to range, if meta2 is in several, until it has found any.
//
// It reads what is committed and passes intents, which are those of splits and the like
// under way. To wait for them would be to wait in a circle: they are pushed at the record
// of their transaction, which is in the range that is being changed, and that has to be
// looked up. What is committed is enough, since it is one change behind at most: somebody
// whom it names has applied the next one, and tells.
//
// The entries of one change become visible one after the other. If the right side of a split
// is there, and the left side not yet, the index has nothing about the keys of the
// left one; those who have the range above know more (scenario half-an-index).
func (o *op) readMeta(s keys.Span) *kv.Error {
	r := o.r
	for s.Key.Less(s.EndKey) {
		e, _, err := o.metaOp(s).lookup()
		if err != nil {
			return err
		}
		here, ok := s.Intersect(e.desc.Span())
		if !ok {
			r.evict(e)
			continue
		}
		br, crosses := o.metaOp(here).send()
		if crosses {
			continue // the range was split meanwhile: look again
		}
		if br.Err != nil {
			return br.Err
		}
		rows, _ := kv.ScanResult(br.Responses[0])
		for i, row := range rows {
			d, err := kv.ParseDescriptor(row.Value)
			if err != nil {
				r.p.Log("descriptor at %s: %v", row.Key, err)
				continue
			}
			if !r.insert(d) && o.wants(d) {
				r.p.Probe(ProbeBehind)
				o.behind = &entry{desc: r.cache.gap(d, o.span, o.below)}
			}
			if i == 0 && !o.wants(d) && o.cached() == nil {
				r.p.Probe(ProbeMissing)
				o.behind = &entry{desc: r.cache.below(d, o.span, o.below)}
			}
		}
		if len(rows) > 0 {
			return nil
		}
		s.Key = here.EndKey
	}
	return nil
}

// wants reports that the range holds the beginning of the op's span, or its end.
func (o *op) wants(d *kv.RangeDescriptor) bool {
	if o.below {
		return d.StartKey.Less(o.span.EndKey) && !d.EndKey.Less(o.span.EndKey)
	}
	return d.ContainsKey(o.span.Key)
}

func (o *op) metaOp(s keys.Span) *op {
	return o.r.newOp(o.t, &kv.BatchRequest{
		Header:   kv.Header{Gateway: o.r.cfg.Self, ID: o.ba.ID, MaxKeys: o.r.set.prefetch, WaitPolicy: kv.WaitCommitted},
		Requests: []kv.Request{&kv.ScanRequest{Key: s.Key, EndKey: s.EndKey}},
	}, o.deadline)
}
