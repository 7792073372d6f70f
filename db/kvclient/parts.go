package kvclient

import (
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// parts is a batch that crosses ranges and has limits, on its way: request after
// request, and each span range after range, since what is left of the limits is known
// only when a part has been answered. All other batches are divided (see sendDivided):
// in order, a scan would take a round trip for each range, and one over forty ranges on
// three continents outlasts its client's patience (scenario partitions, seed 66).
type parts struct {
	r        *Router
	t        env.Task
	ba       *kv.BatchRequest
	deadline time.Duration

	keysLeft, bytesLeft int64 // of the limits that the batch has
	full                bool  // a limit is reached
	stamps              int   // different timestamps at which parts executed
	stamp               hlc.Timestamp
	txn                 *kv.Txn // what is known of it by now
}

// limited reports that limits hold for the batch.
func limited(ba *kv.BatchRequest) bool {
	if ba.MaxKeys == 0 && ba.MaxBytes == 0 {
		return false
	}
	for _, r := range ba.Requests {
		if r.Method().Limited() {
			return true
		}
	}
	return false
}

func (r *Router) sendParts(t env.Task, ba *kv.BatchRequest, deadline time.Duration) *kv.BatchResponse {
	p := &parts{r: r, t: t, ba: ba, deadline: deadline, keysLeft: ba.MaxKeys, bytesLeft: ba.MaxBytes, txn: ba.Txn}
	all := &kv.BatchResponse{Responses: make([]kv.Response, len(ba.Requests))}
	for i, request := range ba.Requests {
		var err *kv.Error
		if request.Method().Ranged() {
			all.Responses[i], err = p.scan(request)
		} else {
			all.Responses[i], err = p.point(request)
		}
		if err != nil {
			at := *err
			at.Index = int32(i)
			return &kv.BatchResponse{Err: &at, Txn: p.news()}
		}
	}
	if p.stamps == 1 {
		all.Timestamp = p.stamp
	}
	all.Txn = p.news()
	return all
}

// news is what the parts said of the transaction.
func (p *parts) news() *kv.Txn {
	if p.txn == p.ba.Txn {
		return nil
	}
	return p.txn
}

// part sends one request to one range. below says how to find the range. crosses
// says that the request is not within it.
func (p *parts) part(request kv.Request, below bool) (_ kv.Response, crosses bool, _ *kv.Error) {
	ba := &kv.BatchRequest{Header: p.ba.Header, Requests: []kv.Request{request}}
	ba.MaxKeys, ba.MaxBytes = 0, 0
	// Parts that move up each by itself would not be one snapshot.
	ba.CanForwardReadTS, ba.Txn = false, p.txn
	if request.Method().Limited() {
		ba.MaxKeys, ba.MaxBytes = p.keysLeft, p.bytesLeft
	}
	o := p.r.newOp(p.t, ba, p.deadline)
	o.below = below
	br, crosses := o.send()
	if crosses {
		return nil, true, nil
	}
	if br.Txn != nil && p.txn != nil {
		txn := *p.txn
		txn.Update(br.Txn)
		p.txn = &txn
	}
	if br.Err != nil {
		return nil, false, br.Err
	}
	if p.stamps == 0 || br.Timestamp != p.stamp {
		p.stamps++
		p.stamp = br.Timestamp
	}
	return br.Responses[0], false, nil
}

func (p *parts) point(request kv.Request) (kv.Response, *kv.Error) {
	response, crosses, err := p.part(request, false)
	if crosses {
		panic("kvclient: a point crosses ranges")
	}
	return response, err
}

// scan reads range after range, upwards or downwards, until the span or a limit is
// exhausted.
func (p *parts) scan(request kv.Request) (kv.Response, *kv.Error) {
	reverse := request.Method() == kv.ReverseScan
	rest := request.Span()
	var all kv.Response
	for rest.Key.Less(rest.EndKey) && (!p.full || !request.Method().Limited()) {
		o := p.r.newOp(p.t, &kv.BatchRequest{Header: p.ba.Header, Requests: []kv.Request{kv.WithSpan(request, rest)}}, p.deadline)
		o.below = reverse
		e, _, err := o.lookup()
		if err != nil {
			return nil, err
		}
		here, ok := rest.Intersect(e.desc.Span())
		if !ok {
			p.r.evict(e)
			continue
		}
		response, crosses, err := p.part(kv.WithSpan(request, here), reverse)
		if err != nil {
			return nil, err
		}
		if crosses {
			continue // the range was split meanwhile: look again
		}
		p.count(response)
		all = joined(all, response)
		resume := kv.ResumeOf(response)
		switch {
		case !resume.IsPoint() && reverse:
			rest.EndKey, p.full = resume.EndKey, true
		case !resume.IsPoint():
			rest.Key, p.full = resume.Key, true
		case reverse:
			rest.EndKey = here.Key
		default:
			rest.Key = here.EndKey
		}
	}
	if !rest.Key.Less(rest.EndKey) {
		rest = keys.Span{}
	}
	return withResume(request, all, rest), nil
}

// joined is the response to a request that was divided, of those to two parts of it
// that follow each other in its direction. a may be nil.
func joined(a, b kv.Response) kv.Response {
	switch b := b.(type) {
	case *kv.ScanResponse:
		if a, ok := a.(*kv.ScanResponse); ok {
			return &kv.ScanResponse{Rows: append(a.Rows[:len(a.Rows):len(a.Rows)], b.Rows...)}
		}
	case *kv.ReverseScanResponse:
		if a, ok := a.(*kv.ReverseScanResponse); ok {
			return &kv.ReverseScanResponse{Rows: append(a.Rows[:len(a.Rows):len(a.Rows)], b.Rows...)}
		}
	case *kv.DeleteRangeResponse:
		if a, ok := a.(*kv.DeleteRangeResponse); ok {
			return &kv.DeleteRangeResponse{Count: a.Count + b.Count}
		}
	case *kv.ResolveIntentRangeResponse:
		if a, ok := a.(*kv.ResolveIntentRangeResponse); ok {
			return &kv.ResolveIntentRangeResponse{Count: a.Count + b.Count}
		}
	}
	return b
}

// withResume is the response to request, of which rest is left; all is nil if none of
// it was done.
func withResume(request kv.Request, all kv.Response, rest keys.Span) kv.Response {
	switch request.Method() {
	case kv.Scan:
		c := &kv.ScanResponse{Resume: rest}
		if r, ok := all.(*kv.ScanResponse); ok {
			c.Rows = r.Rows
		}
		return c
	case kv.ReverseScan:
		c := &kv.ReverseScanResponse{Resume: rest}
		if r, ok := all.(*kv.ReverseScanResponse); ok {
			c.Rows = r.Rows
		}
		return c
	case kv.DeleteRange:
		c := &kv.DeleteRangeResponse{Resume: rest}
		if r, ok := all.(*kv.DeleteRangeResponse); ok {
			c.Count = r.Count
		}
		return c
	case kv.ResolveIntentRange:
		c := &kv.ResolveIntentRangeResponse{Resume: rest}
		if r, ok := all.(*kv.ResolveIntentRangeResponse); ok {
			c.Count = r.Count
		}
		return c
	}
	return all
}

// count takes what was done off the limits. A limit of 0 would mean none, so that
// full says when one is used up.
func (p *parts) count(r kv.Response) {
	var done, size int64
	switch r := r.(type) {
	case *kv.DeleteRangeResponse:
		done = r.Count
	case *kv.ResolveIntentRangeResponse:
		done = r.Count
	case *kv.ScanResponse, *kv.ReverseScanResponse:
		rows, _ := kv.ScanResult(r)
		done = int64(len(rows))
		for i := range rows {
			size += int64(len(rows[i].Key) + len(rows[i].Value))
		}
	}
	if p.ba.MaxKeys > 0 {
		p.keysLeft -= done
		p.full = p.full || p.keysLeft <= 0
	}
	if p.ba.MaxBytes > 0 {
		p.bytesLeft -= size
		p.full = p.full || p.bytesLeft <= 0
	}
}
