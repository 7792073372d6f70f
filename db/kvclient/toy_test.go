package kvclient

import (
	"fmt"
	"math"
	"math/rand/v2"
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

// toy is a node that holds all ranges in memory and does what a leaseholder does for
// transactions, naively: intents, records, staging, recovery, a timestamp cache, pushes.
// It is a Transport, and so stands below a real Router and real coordinators, one for
// each gateway.
type toy struct {
	s        *sim.Sim
	p        *sim.Proc
	clock    *hlc.Clock
	gateways []*toyGateway
	ranges   []*kv.RangeDescriptor
	keys     map[string]*toyKey
	names    []string // of the keys, ascending
	records  map[kv.TxnID]*kv.Txn
	over     map[kv.TxnID]bool          // the record was finalised, or may not be created
	pushed   map[kv.TxnID]hlc.Timestamp // must commit above
	mishap   func(ba *kv.BatchRequest) string
	rand     *rand.Rand
	delay    time.Duration // each way; with jitter, if that is set
	jitter   time.Duration
	log      func(gateway kv.NodeID, ba *kv.BatchRequest, answer string)
}

const (
	toyMaxOffset = 500 * time.Millisecond
	toyExpiry    = 5 * time.Second
	toyPush      = 100 * time.Millisecond
)

type toyGateway struct {
	id     kv.NodeID
	p      *sim.Proc
	clock  *hlc.Clock
	router *Router
	txns   *Txns
	db     *kv.DB
}

type toyValue struct {
	seq    int32
	bytes  []byte
	exists bool
}

type toyVersion struct {
	ts, local hlc.Timestamp
	txn       kv.TxnID
	toyValue
}

type toyIntent struct {
	txn     kv.TxnMeta
	local   hlc.Timestamp
	history []toyValue
}

type toyKey struct {
	versions []toyVersion // ascending
	intent   *toyIntent
	lock     *kv.TxnMeta // exclusive, without a value
	read     hlc.Timestamp
	reader   kv.TxnID // zero: several, or nobody
}

// newToy makes a toy with gateways whose clocks are off by the given times, and ranges
// that begin at the given keys.
func newToy(tb testing.TB, seed uint64, offsets []time.Duration, knobs map[string]int64, starts ...string) *toy {
	s := sim.New(sim.Config{Seed: seed, Epoch: 1e12, Knobs: knobs})
	tb.Cleanup(s.Close)
	f := &toy{s: s, keys: map[string]*toyKey{}, records: map[kv.TxnID]*kv.Txn{}, over: map[kv.TxnID]bool{},
		pushed: map[kv.TxnID]hlc.Timestamp{}, delay: time.Millisecond, rand: rand.New(rand.NewPCG(seed, 1))}
	for c := 'a'; c <= 'h'; c++ {
		f.names = append(f.names, string(c))
		f.keys[string(c)] = &toyKey{}
	}
	f.p = s.Machine("n1", sim.MachineConfig{Cores: 8, Memory: 1 << 40}).Start("store")
	f.clock = hlc.NewClock(f.p, toyMaxOffset)
	start := keys.Min
	for i, next := range append(starts, string(keys.Max)) {
		f.ranges = append(f.ranges, descriptor(kv.RangeID(i+1), start, keys.Key(next), 1, 1))
		start = keys.Key(next)
	}
	for i, offset := range offsets {
		m := s.Machine(fmt.Sprintf("g%d", i+1), sim.MachineConfig{Cores: 8, Memory: 1 << 40})
		m.Clock().Step(offset)
		g := &toyGateway{id: kv.NodeID(i + 2), p: m.Start("gateway")}
		g.clock = hlc.NewClock(g.p, toyMaxOffset)
		g.router = NewRouter(g.p, toyTransport{f, g}, Config{Self: g.id, FirstRange: func() *kv.RangeDescriptor { return f.ranges[0] }})
		g.txns = NewTxns(g.p, g.clock, g.router, g.id)
		g.db = kv.NewDB(g.router, 0).WithTxns(g.txns)
		f.gateways = append(f.gateways, g)
	}
	return f
}

type toyTransport struct {
	f *toy
	g *toyGateway
}

func (toyTransport) Distance(kv.NodeID) time.Duration { return 0 }

// Send implements Transport. Every message is encoded and decoded. Mishaps: notsent,
// lost (executed, the answer lost), hang (not executed, times out), late (executed a
// while after the sender gave up), dropped (acknowledged, its writes come to nothing,
// if that was allowed).
func (tr toyTransport) Send(t env.Task, _ kv.NodeID, ba *kv.BatchRequest, timeout time.Duration) (*kv.BatchResponse, error) {
	f, g := tr.f, tr.g
	ba = recode(ba, kv.DecodeBatchRequest)
	meta := ba.Requests[0].Span().Key.Less(keys.Meta2End) && len(ba.Requests[0].Span().Key) > 0
	mishap := ""
	if f.mishap != nil && !meta {
		mishap = f.mishap(ba)
	}
	var br *kv.BatchResponse
	err := &rpc.Error{Peer: "n1", Sent: true, Cause: env.ErrReset}
	deadline := f.p.Mono() + timeout
	wait := func() {
		d := f.delay
		if f.jitter > 0 {
			d += time.Duration(f.rand.Int64N(int64(f.jitter)))
		}
		t.Sleep(d)
	}
	sent := g.clock.Now()
	switch mishap {
	case "notsent":
		err.Sent = false
		return nil, err
	case "hang":
		wait()
		f.note(g, ba, "no answer, not executed")
		return nil, err
	case "late":
		wait()
		f.note(g, ba, "no answer, executed later")
		f.p.Go("late", func(t env.Task) {
			t.Sleep(time.Duration(f.rand.Int64N(int64(3 * time.Second))))
			f.serve(t, ba, sent, f.p.Mono()+time.Second, "")
		})
		return nil, err
	}
	wait()
	if meta {
		br = f.meta(ba)
	} else {
		br = f.serve(t, ba, sent, deadline, mishap)
	}
	if mishap == "lost" {
		f.note(g, ba, "executed, answer lost: "+answer(br))
		return nil, err
	}
	if !meta {
		f.note(g, ba, answer(br))
	}
	now := f.clock.Now()
	wait()
	if err := g.clock.Update(now); err != nil {
		return nil, &rpc.Error{Peer: "n1", Sent: true, Cause: err}
	}
	return recode(br, kv.DecodeBatchResponse), nil
}

func (f *toy) note(g *toyGateway, ba *kv.BatchRequest, answer string) {
	if f.log != nil {
		f.log(g.id-1, ba, answer)
	}
}

func (f *toy) meta(ba *kv.BatchRequest) *kv.BatchResponse {
	s := ba.Requests[0].Span()
	var rows []kv.KeyValue
	for _, d := range f.ranges {
		if k := keys.Meta2Key(d.EndKey); s.ContainsKey(k) {
			rows = append(rows, kv.KeyValue{Key: k, Value: d.Encode(nil)})
		}
	}
	return &kv.BatchResponse{Responses: []kv.Response{&kv.ScanResponse{Rows: rows}}}
}

// split divides a range without telling anybody.
func (f *toy) split(at string) {
	for i, d := range f.ranges {
		if d.ContainsKey(keys.Key(at)) && !d.StartKey.Equal(keys.Key(at)) {
			l, r := *d, *d
			l.EndKey, r.StartKey, r.RangeID = keys.Key(at), keys.Key(at), kv.RangeID(len(f.ranges)+1)
			l.Generation++
			r.Generation++
			f.ranges[i] = &l
			f.ranges = append(f.ranges, &r)
			sort.Slice(f.ranges, func(i, j int) bool { return f.ranges[i].StartKey.Less(f.ranges[j].StartKey) })
			return
		}
	}
}

// serve evaluates the batch, waiting for, and pushing, whoever is in its way.
func (f *toy) serve(t env.Task, ba *kv.BatchRequest, sent hlc.Timestamp, deadline time.Duration, mishap string) *kv.BatchResponse {
	var d *kv.RangeDescriptor
	for _, r := range f.ranges {
		if r.RangeID == ba.RangeID {
			d = r
		}
	}
	if !d.ContainsSpan(ba.Span()) {
		e := &kv.Error{Kind: kv.RangeKeyMismatch, Index: -1, RangeID: ba.RangeID, Descs: f.ranges}
		return kv.ErrorResponse(e)
	}
	if err := f.clock.Update(sent); err != nil {
		panic(err)
	}
	if ba.Txn != nil {
		ba.Txn.Observe(1, f.clock.Now())
	}
	since := f.p.Mono()
	for {
		ev := &toyEval{f: f, ba: ba, now: f.clock.Now(), drop: mishap == "dropped" && ba.AsyncConsensus}
		if ba.Txn != nil {
			txn := *ba.Txn
			ev.txn = &txn
		}
		br, conflict := ev.run()
		if conflict == nil {
			return br
		}
		if ba.WaitPolicy == kv.WaitError && !f.push(ba, conflict, 0) {
			e := kv.Errorf(kv.LockConflict, "")
			e.Index = ev.at
			e.Detail = &kv.ErrorDetail{Locks: []kv.Lock{{Key: conflict.key, Txn: conflict.txn, Strength: kv.LockIntent, Durability: kv.Replicated}}}
			return kv.ErrorResponse(e)
		}
		if !f.push(ba, conflict, f.p.Mono()-since) {
			if f.p.Mono() >= deadline {
				return kv.ErrorResponse(kv.Errorf(kv.Timeout, "waiting for %s", kv.FormatTxnID(conflict.txn.ID)))
			}
			t.Sleep(20 * time.Millisecond)
		}
	}
}

// toyConflict is a lock of another transaction in the way.
type toyConflict struct {
	key   keys.Key
	txn   kv.TxnMeta
	write bool
	ts    hlc.Timestamp // of the read
}

// push gets the holder out of the way, if that can be done now.
func (f *toy) push(ba *kv.BatchRequest, c *toyConflict, waited time.Duration) bool {
	k := f.keys[string(c.key)]
	rec := f.records[c.txn.ID]
	switch {
	case rec != nil && rec.Status == kv.Staging:
		f.recover(rec)
		return true
	case rec != nil && rec.Status.Finalized():
		f.resolve(k, rec)
		return true
	case rec == nil && f.over[c.txn.ID]:
		f.resolve(k, &kv.Txn{TxnMeta: c.txn, Status: kv.Aborted})
		return true
	}
	active := c.txn.MinTS
	if rec != nil {
		active = rec.LastActive()
	}
	expired := time.Duration(f.clock.PhysicalNow()-active.Wall) > toyExpiry
	mine, theirs := int32(0), c.txn.Priority
	wins := true
	if ba.Txn != nil {
		mine = ba.Txn.Priority
		wins = mine > theirs || mine == theirs && string(ba.Txn.ID[:]) > string(c.txn.ID[:])
	}
	if !expired && (!wins || waited < toyPush && mine != kv.MaxPriority) {
		return false
	}
	if !c.write && !expired && k.intent != nil {
		// A read has the writer commit above it.
		to := c.ts.Next()
		f.pushed[c.txn.ID] = f.pushed[c.txn.ID].Forward(to)
		k.intent.txn.WriteTS = k.intent.txn.WriteTS.Forward(to)
		return true
	}
	if rec == nil {
		rec = &kv.Txn{TxnMeta: c.txn}
		f.records[c.txn.ID] = rec
	}
	rec.Status = kv.Aborted
	f.resolve(k, rec)
	return true
}

// recover finds out whether a transaction that is staging is committed.
func (f *toy) recover(rec *kv.Txn) {
	committed := true
	for _, w := range rec.InFlight {
		meta := rec.TxnMeta
		meta.Sequence = w.Sequence
		k := f.keys[string(w.Key)]
		if i := k.intent; i == nil || i.txn.ID != rec.ID || i.txn.Epoch != rec.Epoch || i.last() < w.Sequence || rec.WriteTS.Less(i.txn.WriteTS) {
			k.bump(rec.WriteTS, kv.TxnID{}) // prevented for ever
			committed = false
		}
	}
	rec.Status = kv.Aborted
	if committed {
		rec.Status = kv.Committed
	}
	f.over[rec.ID] = true
	f.resolveAll(rec)
}

func (f *toy) resolveAll(rec *kv.Txn) {
	for _, name := range f.names {
		k := f.keys[name]
		if k.intent != nil && k.intent.txn.ID == rec.ID || k.lock != nil && k.lock.ID == rec.ID {
			f.resolve(k, rec)
		}
	}
}

// resolve does to the key's locks what has become of their transaction.
func (f *toy) resolve(k *toyKey, txn *kv.Txn) {
	if k.lock != nil && k.lock.ID == txn.ID {
		k.lock = nil
	}
	i := k.intent
	if i == nil || i.txn.ID != txn.ID {
		return
	}
	k.intent = nil
	if txn.Status != kv.Committed || i.txn.Epoch != txn.Epoch || txn.WriteTS.Less(i.txn.WriteTS) {
		return
	}
	if v, ok := i.at(math.MaxInt32, txn.IgnoredSeqs); ok {
		k.versions = append(k.versions, toyVersion{ts: txn.WriteTS, local: i.local, txn: txn.ID, toyValue: v})
	}
}

func (i *toyIntent) last() int32 { return i.history[len(i.history)-1].seq }

// at is the value as of a sequence.
func (i *toyIntent) at(seq int32, ignored []kv.SeqRange) (toyValue, bool) {
	for n := len(i.history) - 1; n >= 0; n-- {
		if v := i.history[n]; v.seq <= seq && !kv.SeqIgnored(ignored, v.seq) {
			return v, true
		}
	}
	return toyValue{}, false
}

func (k *toyKey) newest() hlc.Timestamp {
	if n := len(k.versions); n > 0 {
		return k.versions[n-1].ts
	}
	return hlc.Timestamp{}
}

// bump notes a read.
func (k *toyKey) bump(ts hlc.Timestamp, txn kv.TxnID) {
	switch {
	case k.read.Less(ts):
		k.read, k.reader = ts, txn
	case k.read == ts && k.reader != txn:
		k.reader = kv.TxnID{}
	}
}

type message interface{ Encode([]byte) []byte }

// recode passes a message through its encoding.
func recode[M message](m M, decode func(*codecReader) M) M {
	r := newCodecReader(m.Encode(nil))
	out := decode(r)
	if err := r.Done(); err != nil {
		panic(err)
	}
	return out
}

// answer prints a response for a dialogue.
func answer(br *kv.BatchResponse) string {
	var parts []string
	if br.Err != nil {
		s := br.Err.Kind.String()
		if d := br.Err.Detail; d != nil && (d.Retry != 0 || d.Abort != 0) {
			s += ": " + d.Retry.String() + d.Abort.String()
			s = strings.ReplaceAll(s, "no reason", "")
		}
		return s
	}
	for i, r := range br.Responses {
		switch r := r.(type) {
		case *kv.GetResponse, *kv.ScanResponse, *kv.IncrementResponse:
			parts = append(parts, describe(&kv.BatchResponse{Responses: br.Responses[i : i+1]}))
		case *kv.EndTxnResponse:
			switch {
			case r.OnePhase:
				parts = append(parts, "committed in one phase")
			case !r.StagingTS.IsEmpty():
				parts = append(parts, "staged")
			default:
				parts = append(parts, br.Txn.Status.String())
			}
		case *kv.QueryIntentResponse:
			parts = append(parts, "found")
		default:
			parts = append(parts, "ok")
		}
	}
	return strings.Join(parts, ", ")
}
