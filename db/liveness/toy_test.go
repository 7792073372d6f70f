package liveness

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// toy is a cluster of nodes that do nothing but keep each other's liveness, over a
// database that is one map, and gossip that is a delay. It checks every write against
// what the protocol allows.
type toy struct {
	t      testing.TB
	s      *sim.Sim
	store  *sim.Proc
	clock  *hlc.Clock // of the database
	values map[string]kv.Value
	nodes  []*toyNode
	rand   *rand.Rand
	// delay is how long a message takes at least, jitter what may be added.
	delay, jitter time.Duration
	// mishap is what befalls a batch: "", refused, lost (executed, the answer lost), hang
	// (never executed), late (executed after its sender gave it up), slow (answered after 10 s).
	mishap func(n *toyNode, ba *kv.BatchRequest) string
	// told is called for each info; it says whether the node hears of it.
	told func(n *toyNode) bool
	log  func(format string, args ...any)
	// anyClock lets messages pass whose clock readings are too far ahead, without them.
	anyClock bool
	counts   map[string]int
	served   map[served]hlc.Timestamp // the last reading of the holder's clock at which an epoch was held
}

type toyNode struct {
	w     *toy
	id    kv.NodeID
	m     *sim.Machine
	p     *sim.Proc
	clock *hlc.Clock
	l     *Liveness
	hears []func(gossip.Info)
	gone  bool // found itself decommissioned
}

const maxOffset = 500 * time.Millisecond

func newToy(t testing.TB, seed uint64, nodes int, knobs map[string]int64) *toy {
	s := sim.New(sim.Config{Seed: seed, Epoch: 1e12, Knobs: knobs})
	t.Cleanup(s.Close)
	w := &toy{t: t, s: s, values: map[string]kv.Value{}, rand: s.Rand("toy"), delay: time.Millisecond, counts: map[string]int{}, served: map[served]hlc.Timestamp{}}
	w.store = s.Machine("db", sim.MachineConfig{}).Start("db")
	w.clock = hlc.NewClock(w.store, maxOffset)
	for i := range nodes {
		w.nodes = append(w.nodes, &toyNode{w: w, id: kv.NodeID(i + 1), m: s.Machine(fmt.Sprintf("n%d", i+1), sim.MachineConfig{})})
	}
	return w
}

// start starts a node's next incarnation. Its heartbeats begin with Start.
func (n *toyNode) start() *Liveness {
	n.p = n.m.Start("node")
	n.clock = hlc.NewClock(n.p, maxOffset)
	n.hears, n.gone = nil, false
	n.l = New(Config{Env: n.p, Clock: n.clock, NodeID: n.id, Gossip: toySpreader{n}, Decommissioned: func() { n.gone = true },
		DB: kv.NewDB(kv.SenderFunc(func(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse { return n.send(t, ba) }), 0)})
	return n.l
}

// toySpreader is gossip by delay alone. It is told on by nobody.
type toySpreader struct{ n *toyNode }

func (s toySpreader) OnChange(_ string, f func(gossip.Info)) { s.n.hears = append(s.n.hears, f) }

func (s toySpreader) PublishVersion(key string, value []byte, version hlc.Timestamp, ttl time.Duration) error {
	w := s.n.w
	x := gossip.Info{Key: key, Value: value, Version: version, Origin: s.n.id, TTL: ttl}
	var r Record
	if r, _ = DecodeRecord(value); r.NodeID != s.n.id && w.told == nil {
		return nil // the dialogues have a node tell its own record only
	}
	for _, to := range w.nodes {
		p := to.p
		if to == s.n || p == nil || !p.Alive() || w.told != nil && !w.told(to) {
			continue
		}
		p.Schedule(w.wait(), "gossip", func() {
			for _, f := range to.hears {
				f(x)
			}
		})
	}
	return nil
}

func (w *toy) wait() time.Duration {
	d := w.delay
	if w.jitter > 0 {
		d += time.Duration(w.rand.Int64N(int64(w.jitter)))
	}
	return d
}

func recode[M interface{ Encode([]byte) []byte }](m M, decode func(*codec.Reader) M) M {
	r := codec.NewReader(m.Encode(nil))
	out := decode(r)
	if err := r.Done(); err != nil {
		panic(err)
	}
	return out
}

// send is the way to the database and back.
func (n *toyNode) send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	w := n.w
	ba = recode(ba, kv.DecodeBatchRequest)
	sent := n.clock.Now()
	mishap := ""
	if w.mishap != nil {
		mishap = w.mishap(n, ba)
	}
	w.counts[mishap]++
	if err := t.Sleep(w.wait()); err != nil {
		w.note(n, ba, "not sent")
		return kv.ErrorResponse(kv.Errorf(kv.Timeout, "%s", err))
	}
	ambiguous := kv.ErrorResponse(kv.Errorf(kv.Ambiguous, "no answer"))
	switch mishap {
	case "refused":
		w.note(n, ba, "refused")
		return kv.ErrorResponse(kv.Errorf(kv.NodeUnavailable, "refused"))
	case "hang":
		w.note(n, ba, "no answer, not executed")
		return ambiguous
	case "late":
		w.note(n, ba, "no answer, executed later")
		w.store.Schedule(100*time.Millisecond+10*w.wait(), "late", func() {
			w.note(n, ba, "only now: "+w.serve(n, ba, sent).describe())
		})
		return ambiguous
	}
	br := w.serve(n, ba, sent)
	if mishap == "lost" {
		w.note(n, ba, "answer lost: "+br.describe())
		return ambiguous
	}
	w.note(n, ba, br.describe())
	if mishap == "slow" {
		t.Sleep(10 * time.Second)
	}
	reading := w.clock.Now()
	if err := t.Sleep(w.wait()); err != nil {
		return ambiguous
	}
	if err := n.clock.Update(reading); err != nil && !w.anyClock {
		return kv.ErrorResponse(kv.Errorf(kv.Ambiguous, "%s", err))
	}
	return recode((*kv.BatchResponse)(br), kv.DecodeBatchResponse)
}

type toyAnswer kv.BatchResponse

// serve executes a batch of one request.
func (w *toy) serve(n *toyNode, ba *kv.BatchRequest, sent hlc.Timestamp) *toyAnswer {
	if err := w.clock.Update(sent); err != nil && !w.anyClock {
		return &toyAnswer{Err: kv.Errorf(kv.NodeUnavailable, "%s", err)}
	}
	now := w.clock.Now()
	one := func(r kv.Response) *toyAnswer { return &toyAnswer{Timestamp: now, Responses: []kv.Response{r}} }
	switch r := ba.Requests[0].(type) {
	case *kv.GetRequest:
		v := w.values[string(r.Key)]
		return one(&kv.GetResponse{Value: v.Bytes, Exists: v.Exists, Timestamp: v.Timestamp})
	case *kv.ScanRequest:
		var rows []kv.KeyValue
		for _, m := range w.nodes {
			k := keys.NodeLivenessKey(m.id)
			if v := w.values[string(k)]; v.Exists && r.Span().ContainsKey(k) {
				rows = append(rows, kv.KeyValue{Key: k, Value: v.Bytes, Timestamp: v.Timestamp})
			}
		}
		return one(&kv.ScanResponse{Rows: rows})
	case *kv.ConditionalPutRequest:
		v := w.values[string(r.Key)]
		if v.Exists != r.ExpectedExists || !bytes.Equal(v.Bytes, r.Expected) {
			e := kv.Errorf(kv.ConditionFailed, "")
			if v.Exists {
				e.Actual = &kv.KeyValue{Key: r.Key, Value: v.Bytes, Timestamp: v.Timestamp}
			}
			return &toyAnswer{Err: e}
		}
		if err := w.legal(n, v, r.Value, now); err != nil {
			w.t.Errorf("n%d: %v", n.id, err)
		}
		w.values[string(r.Key)] = kv.Value{Bytes: r.Value, Exists: true, Timestamp: now}
		w.counts["written"]++
		return one(&kv.ConditionalPutResponse{})
	}
	panic(fmt.Sprintf("toy: %s", ba.Requests[0].Method()))
}

// legal says what is wrong with a write by n, in the eyes of somebody who sees all.
func (w *toy) legal(n *toyNode, old kv.Value, value []byte, now hlc.Timestamp) error {
	next, err := DecodeRecord(value)
	if err != nil {
		return err
	}
	var prev Record
	if old.Exists {
		if prev, err = DecodeRecord(old.Bytes); err != nil {
			return err
		}
	}
	own := next.NodeID == n.id
	switch {
	case next.Revision != prev.Revision+1:
		return fmt.Errorf("%s after %s: not the next revision", &next, &prev)
	case next.Epoch < prev.Epoch || next.Epoch > prev.Epoch+1:
		return fmt.Errorf("%s after %s: epoch", &next, &prev)
	case next.Expiration.Less(prev.Expiration):
		return fmt.Errorf("%s after %s: expires before", &next, &prev)
	case !own && next.Expiration != prev.Expiration:
		return fmt.Errorf("%s after %s: another's expiration", &next, &prev)
	case !own && next.Epoch > prev.Epoch && now.Add(maxOffset).Less(prev.Expiration) && !w.anyClock:
		return fmt.Errorf("%s after %s at %s: epoch ended before its time", &next, &prev, now)
	case prev.Membership == Decommissioned:
		return fmt.Errorf("%s after %s: decommissioned is final", &next, &prev)
	case next.Membership != prev.Membership && !prev.Membership.mayBecome(next.Membership):
		return fmt.Errorf("%s after %s: membership", &next, &prev)
	}
	return nil
}

// record is a node's record as it is in the database.
func (w *toy) record(id kv.NodeID) Record {
	v := w.values[string(keys.NodeLivenessKey(id))]
	if !v.Exists {
		return Record{}
	}
	r, err := DecodeRecord(v.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *toy) note(n *toyNode, ba *kv.BatchRequest, answer string) {
	if w.log != nil {
		w.log("n%d: %s\n    %s\n", n.id, describeRequest(ba.Requests[0]), answer)
	}
}

func describeRequest(r kv.Request) string {
	cput, ok := r.(*kv.ConditionalPutRequest)
	if !ok {
		return fmt.Sprintf("%s(%s)", r.Method(), r.Span())
	}
	next, _ := DecodeRecord(cput.Value)
	if !cput.ExpectedExists {
		return fmt.Sprintf("ConditionalPut(%s; if there is none)", show(next))
	}
	prev, _ := DecodeRecord(cput.Expected)
	return fmt.Sprintf("ConditionalPut(%s; if revision %d of epoch %d)", show(next), prev.Revision, prev.Epoch)
}

// show prints a record with its expiration in seconds since the run began.
func show(r Record) string {
	s := fmt.Sprintf("n%d epoch %d until %.1f, revision %d", r.NodeID, r.Epoch, float64(r.Expiration.Wall-1e12)/1e9, r.Revision)
	if r.Draining {
		s += ", draining"
	}
	if r.Membership != Active {
		s += ", " + r.Membership.String()
	}
	return s
}

func (a *toyAnswer) describe() string {
	if a.Err != nil {
		if a.Err.Actual != nil {
			r, _ := DecodeRecord(a.Err.Actual.Value)
			return "condition failed, found " + show(r)
		}
		return a.Err.Kind.String()
	}
	if g, ok := a.Responses[0].(*kv.GetResponse); ok && g.Exists {
		r, _ := DecodeRecord(g.Value)
		return show(r)
	}
	return "ok"
}

func (w *toy) run(d time.Duration) {
	w.s.RunUntil(w.s.Now().Add(d))
	w.findings()
}

func (w *toy) findings() {
	for _, f := range w.s.Findings() {
		w.t.Fatalf("finding: %s", f.String())
	}
}

// do runs f in a task of the node, and a second of everything.
func (n *toyNode) do(f func(env.Task) error) error {
	err := errors.New("still under way")
	n.p.Go("do", func(t env.Task) { err = f(t) })
	n.w.run(time.Second)
	return err
}

func sortedCounts(m map[string]int) string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	s := ""
	for _, k := range names {
		s += fmt.Sprintf("%q: %d, ", k, m[k])
	}
	return s
}

// status is what a node thinks of another, in a word.
func (n *toyNode) status(of kv.NodeID) string {
	if s, known := n.l.Status(of, n.l.now()); known {
		return s.String()
	}
	return "unknown"
}
