package kvclient

import (
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// parts is a batch that only reads and crosses ranges, on its way: request after
// request, and each scan range after range.
type parts struct {
	r        *Router
	t        env.Task
	ba       *kv.BatchRequest
	deadline time.Duration

	keysLeft, bytesLeft int64 // of the limits that the batch has
	full                bool  // a limit is reached
	stamps              int   // different timestamps at which parts executed
	stamp               hlc.Timestamp
}

func (r *Router) sendParts(t env.Task, ba *kv.BatchRequest, deadline time.Duration) *kv.BatchResponse {
	p := &parts{r: r, t: t, ba: ba, deadline: deadline, keysLeft: ba.MaxKeys, bytesLeft: ba.MaxBytes}
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
			return kv.ErrorResponse(&at)
		}
	}
	if p.stamps == 1 {
		all.Timestamp = p.stamp
	}
	return all
}

// part sends one request to one range. below says how to find the range. crosses
// says that the request is not within it.
func (p *parts) part(request kv.Request, below bool) (_ kv.Response, crosses bool, _ *kv.Error) {
	ba := &kv.BatchRequest{Header: p.ba.Header, Requests: []kv.Request{request}}
	ba.MaxKeys, ba.MaxBytes = 0, 0
	if request.Method().Ranged() {
		ba.MaxKeys, ba.MaxBytes = p.keysLeft, p.bytesLeft
	}
	o := p.r.newOp(p.t, ba, p.deadline)
	o.below = below
	br, crosses := o.send()
	if crosses {
		return nil, true, nil
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
	var rows []kv.KeyValue
	for rest.Key.Less(rest.EndKey) && !p.full {
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
		more, resume := kv.ScanResult(response)
		rows = append(rows, more...)
		p.count(more)
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
	if reverse {
		return &kv.ReverseScanResponse{Rows: rows, Resume: rest}, nil
	}
	return &kv.ScanResponse{Rows: rows, Resume: rest}, nil
}

// count takes rows off the limits. A limit of 0 would mean none, so that full says
// when one is used up.
func (p *parts) count(rows []kv.KeyValue) {
	if p.ba.MaxKeys > 0 {
		p.keysLeft -= int64(len(rows))
		p.full = p.full || p.keysLeft <= 0
	}
	if p.ba.MaxBytes > 0 {
		for i := range rows {
			p.bytesLeft -= int64(len(rows[i].Key) + len(rows[i].Value))
		}
		p.full = p.full || p.bytesLeft <= 0
	}
}
