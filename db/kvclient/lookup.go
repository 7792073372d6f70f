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
// or its end. Of keys up to those of meta2 there is always one.
func (o *op) cached() *entry {
	r := o.r
	if o.below {
		if e := r.cache.findBelow(o.span.EndKey); e != nil || keys.Meta2End.Less(o.span.EndKey) {
			return e
		}
		return r.firstRange()
	}
	if e := r.cache.find(o.span.Key); e != nil || !o.span.Key.Less(keys.Meta2End) {
		return e
	}
	return r.firstRange()
}

// firstRange is an entry for the range that holds meta2, for when the cache has
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

// evict forgets e. Of the first range the newest descriptor that was ever seen is
// remembered, since there is nowhere to look it up.
func (r *Router) evict(e *entry) {
	r.cache.evict(e)
	if d := e.desc; len(d.StartKey) == 0 && (r.firstSeen == nil || d.Generation > r.firstSeen.Generation) {
		r.firstSeen = d
	}
	if r.first == e {
		r.first = nil
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

// metaSpan is where in meta2 the wanted descriptor is the first. The range that
// holds a key has an end above it; the one that holds the keys below k has an end
// at k or above.
func (o *op) metaSpan() (from, end keys.Key) {
	if o.below {
		return keys.Meta2Key(o.span.EndKey), keys.Meta2End
	}
	meta, end, _ := keys.MetaKey(o.span.Key)
	return meta.Next(), end
}

func (o *op) readMeta(s keys.Span) *kv.Error {
	r := o.r
	ba := &kv.BatchRequest{
		Header:   kv.Header{Gateway: r.cfg.Self, ID: o.ba.ID, MaxKeys: r.set.prefetch},
		Requests: []kv.Request{&kv.ScanRequest{Key: s.Key, EndKey: s.EndKey}},
	}
	br, crosses := r.newOp(o.t, ba, o.deadline).send()
	if crosses {
		return kv.Errorf(kv.NodeUnavailable, "meta2 is not within the first range")
	}
	if br.Err != nil {
		return br.Err
	}
	rows, _ := kv.ScanResult(br.Responses[0])
	for _, row := range rows {
		d, err := kv.ParseDescriptor(row.Value)
		if err != nil {
			r.p.Log("descriptor at %s: %v", row.Key, err)
			continue
		}
		r.cache.insert(d)
	}
	return nil
}
