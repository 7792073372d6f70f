package kvclient

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// fakeCluster is a Transport to stores that need no consensus: there is one copy of
// the data, and for each range one replica that says it holds the lease. What a
// test asks for goes wrong on the way.
type fakeCluster struct {
	s      *sim.Sim
	p      *sim.Proc
	router *Router
	ranges []*fakeRange // by key
	data   map[string]kv.KeyValue
	now    int64                  // wall time of the last write
	mishap map[kv.NodeID][]string // to come, of the next requests to a node
	fault  func(to kv.NodeID, ba *kv.BatchRequest) string
	runs   map[uint64]int // how often each batch that writes was executed, by ID
	log    strings.Builder
	metas  bool // log requests for meta2 too
}

type fakeRange struct {
	desc   *kv.RangeDescriptor
	holder kv.NodeID // 0: nobody
	seq    int64
}

func (r *fakeRange) lease() *kv.Lease {
	for _, d := range r.desc.Replicas {
		if d.NodeID == r.holder {
			return &kv.Lease{Sequence: r.seq, Replica: d, Start: hlc.Timestamp{Wall: r.seq}}
		}
	}
	return nil
}

func descriptor(id kv.RangeID, start, end keys.Key, gen int64, nodes ...kv.NodeID) *kv.RangeDescriptor {
	d := &kv.RangeDescriptor{RangeID: id, StartKey: start, EndKey: end, Generation: gen}
	for i, n := range nodes {
		d.Replicas = append(d.Replicas, kv.ReplicaDescriptor{NodeID: n, StoreID: kv.StoreID(n), ReplicaID: kv.ReplicaID(i + 1)})
	}
	d.NextReplicaID = kv.ReplicaID(len(nodes) + 1)
	return d
}

// newFakeCluster begins with one range that holds everything, on n1, n2 and n3.
func newFakeCluster(tb testing.TB, seed uint64) *fakeCluster {
	s := sim.New(sim.Config{Seed: seed})
	tb.Cleanup(s.Close)
	f := &fakeCluster{
		s: s, p: s.Machine("n9", sim.MachineConfig{Cores: 4, Memory: 1 << 30}).Start("gateway"),
		data: map[string]kv.KeyValue{}, mishap: map[kv.NodeID][]string{}, runs: map[uint64]int{},
	}
	boot := descriptor(1, keys.Min, keys.Max, 1, 1, 2, 3)
	f.ranges = []*fakeRange{{desc: boot, holder: 1, seq: 1}}
	f.writeMeta()
	f.router = NewRouter(f.p, f, Config{Self: 9, FirstRange: func() *kv.RangeDescriptor { return boot }})
	return f
}

// writeMeta makes meta2 say what is.
func (f *fakeCluster) writeMeta() {
	for k := range f.data {
		if keys.Key(k).HasPrefix(keys.Meta2) {
			delete(f.data, k)
		}
	}
	for _, r := range f.ranges {
		k := keys.Meta2Key(r.desc.EndKey)
		f.data[string(k)] = kv.KeyValue{Key: k, Value: r.desc.Encode(nil), Timestamp: hlc.Timestamp{Wall: 1}}
	}
}

func (f *fakeCluster) find(k keys.Key) *fakeRange {
	for _, r := range f.ranges {
		if r.desc.ContainsKey(k) {
			return r
		}
	}
	panic("no range")
}

// split divides the range that holds k there.
func (f *fakeCluster) split(k keys.Key, id kv.RangeID) {
	left := f.find(k)
	if left.desc.StartKey.Equal(k) {
		return
	}
	l, r := *left.desc, *left.desc
	l.EndKey, r.StartKey, r.RangeID = k, k, id
	l.Generation++
	r.Generation++
	left.desc = &l
	f.ranges = append(f.ranges, &fakeRange{desc: &r, holder: left.holder, seq: left.seq})
	sort.Slice(f.ranges, func(i, j int) bool { return f.ranges[i].desc.StartKey.Less(f.ranges[j].desc.StartKey) })
	f.writeMeta()
}

func (f *fakeCluster) Distance(to kv.NodeID) time.Duration { return time.Duration(to) }

// Send implements Transport. Mishaps: notsent, busy, hang (never executed, times
// out), lost (executed, and the answer lost), ambiguous (the store does not know).
func (f *fakeCluster) Send(t env.Task, to kv.NodeID, ba *kv.BatchRequest, timeout time.Duration) (*kv.BatchResponse, error) {
	meta := ba.Span().Key.Less(keys.Meta2End)
	mishap := ""
	if !meta {
		if next := f.mishap[to]; len(next) > 0 {
			mishap, f.mishap[to] = next[0], next[1:]
		}
	}
	if f.fault != nil {
		mishap = f.fault(to, ba)
	}
	// Messages are encoded, so that nothing is shared.
	b := ba.Encode(nil)
	if len(b) != ba.Size() {
		panic("size")
	}
	br, err := f.deliver(t, to, ba, timeout, mishap)
	if f.metas || !meta {
		what := ""
		switch {
		case err != nil:
			what = err.Error()
		case br.Err != nil:
			what = br.Err.Error()
		default:
			what = describe(br)
		}
		fmt.Fprintf(&f.log, "n%d <- %s\n   -> %s\n", to, ba, what)
	}
	return br, err
}

func (f *fakeCluster) deliver(t env.Task, to kv.NodeID, ba *kv.BatchRequest, timeout time.Duration, mishap string) (*kv.BatchResponse, error) {
	name := fmt.Sprintf("n%d", to)
	if mishap == "notsent" {
		return nil, &rpc.Error{Peer: name, Cause: env.ErrRefused}
	}
	if timeout < time.Millisecond { // the answer would come later than anybody waits for it
		t.Sleep(timeout)
		return nil, &rpc.Error{Peer: name, Sent: true, Cause: env.ErrTimeout}
	}
	t.Sleep(time.Millisecond)
	switch mishap {
	case "busy":
		return kv.ErrorResponse(kv.Errorf(kv.NodeUnavailable, "busy")), nil
	case "ambiguous":
		return kv.ErrorResponse(kv.AmbiguousError(nil, "proposal lost")), nil
	case "hang":
		t.Sleep(timeout - time.Millisecond)
		return nil, &rpc.Error{Peer: name, Sent: true, Cause: env.ErrTimeout}
	}
	br := f.evaluate(to, ba)
	if mishap == "lost" {
		return nil, &rpc.Error{Peer: name, Sent: true, Cause: env.ErrReset}
	}
	return br, nil
}

// evaluate is what an honest store does.
func (f *fakeCluster) evaluate(to kv.NodeID, ba *kv.BatchRequest) *kv.BatchResponse {
	var r *fakeRange
	for _, x := range f.ranges {
		if _, ok := x.desc.Replica(kv.StoreID(to)); ok && x.desc.RangeID == ba.RangeID {
			r = x
		}
	}
	if r == nil {
		return kv.ErrorResponse(&kv.Error{Kind: kv.RangeNotFound, Index: -1, RangeID: ba.RangeID})
	}
	if !r.desc.ContainsSpan(ba.Span()) {
		e := &kv.Error{Kind: kv.RangeKeyMismatch, Index: -1, RangeID: ba.RangeID, Descs: []*kv.RangeDescriptor{r.desc}}
		if other := f.find(ba.Span().Key); other != r {
			e.Descs = append(e.Descs, other.desc)
		}
		return kv.ErrorResponse(e)
	}
	if r.holder != to {
		return kv.ErrorResponse(&kv.Error{Kind: kv.NotLeaseholder, Index: -1, RangeID: ba.RangeID, Lease: r.lease()})
	}
	if ba.Writes() {
		f.runs[ba.ID]++
	}
	f.now++
	br := &kv.BatchResponse{Timestamp: hlc.Timestamp{Wall: f.now}}
	if !ba.Timestamp.IsEmpty() {
		br.Timestamp = ba.Timestamp
	}
	left := ba.MaxKeys
	for _, request := range ba.Requests {
		k := request.Span().Key
		old, exists := f.data[string(k)]
		put := func(v []byte) {
			f.data[string(k)] = kv.KeyValue{Key: k, Value: v, Timestamp: br.Timestamp}
		}
		var response kv.Response
		switch request := request.(type) {
		case *kv.GetRequest:
			response = &kv.GetResponse{Value: old.Value, Exists: exists, Timestamp: old.Timestamp}
		case *kv.PutRequest:
			put(request.Value)
			response = &kv.PutResponse{}
		case *kv.IncrementRequest:
			sum := request.By
			if exists {
				sum += int64(binary.BigEndian.Uint64(old.Value))
			}
			put(binary.BigEndian.AppendUint64(nil, uint64(sum)))
			response = &kv.IncrementResponse{Value: sum}
		case *kv.ScanRequest:
			rows, resume := f.scan(request.Span(), false, ba.MaxKeys, &left)
			response = &kv.ScanResponse{Rows: rows, Resume: resume}
		case *kv.ReverseScanRequest:
			rows, resume := f.scan(request.Span(), true, ba.MaxKeys, &left)
			response = &kv.ReverseScanResponse{Rows: rows, Resume: resume}
		}
		br.Responses = append(br.Responses, response)
	}
	return br
}

func (f *fakeCluster) scan(s keys.Span, reverse bool, limit int64, left *int64) (rows []kv.KeyValue, resume keys.Span) {
	var all []kv.KeyValue
	for k, row := range f.data {
		if s.ContainsKey(keys.Key(k)) {
			all = append(all, row)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Key.Less(all[j].Key) != reverse })
	for _, row := range all {
		if limit > 0 && *left == 0 {
			if reverse {
				return rows, keys.Span{Key: s.Key, EndKey: row.Key.Next()}
			}
			return rows, keys.Span{Key: row.Key, EndKey: s.EndKey}
		}
		*left--
		rows = append(rows, row)
	}
	return rows, keys.Span{}
}

// describe prints what a batch that succeeded gave.
func describe(br *kv.BatchResponse) string {
	var parts []string
	for _, r := range br.Responses {
		switch r := r.(type) {
		case *kv.GetResponse:
			if !r.Exists {
				parts = append(parts, "nothing")
			} else {
				parts = append(parts, fmt.Sprintf("%q", r.Value))
			}
		case *kv.IncrementResponse:
			parts = append(parts, fmt.Sprint(r.Value))
		case *kv.ScanResponse, *kv.ReverseScanResponse:
			rows, resume := kv.ScanResult(r)
			var keys []string
			for _, row := range rows {
				keys = append(keys, row.Key.String())
			}
			s := "[" + strings.Join(keys, " ") + "]"
			if !resume.IsPoint() {
				s += " resume " + resume.String()
			}
			parts = append(parts, s)
		default:
			parts = append(parts, "done")
		}
	}
	s := strings.Join(parts, ", ")
	if !br.Timestamp.IsEmpty() {
		s += " at " + br.Timestamp.String()
	}
	return s
}

// do sends a batch from a task of its own and runs the simulation until it returns.
func (f *fakeCluster) do(ba *kv.BatchRequest) (br *kv.BatchResponse, took time.Duration) {
	start := f.s.Now()
	f.p.Go("do", func(t env.Task) {
		br = f.router.Send(t, ba)
		took = time.Duration(f.s.Now() - start)
	})
	f.s.RunUntil(f.s.Now() + sim.Time(time.Hour))
	for _, finding := range f.s.Findings() {
		panic(finding.String())
	}
	return br, took
}
