package session

import (
	"testing"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// raw sends steps by hand, as no client of ours would.
type raw struct {
	*toy
	id          ID
	incarnation int64
}

func newRaw(t *testing.T, knobs map[string]int64) *raw {
	return &raw{toy: newToy(t, 1, knobs, 1), id: ID{Born: 10, Lot: 1, Number: 1}, incarnation: 1}
}

// send sends a step, and keeps the answer for when it has come.
func (w *raw) send(q request) **response {
	answer := new(*response)
	q.ID, q.Incarnation = w.id, w.incarnation
	client := w.procs["c1"]
	client.Go("raw", func(t env.Task) {
		if m, err := client.node.Call(t, "n1", Kind, &q, time.Minute); err == nil {
			*answer = m.(*response)
		}
	})
	return answer
}

func (w *raw) expect(what string, p **response, want refusal) {
	w.tb.Helper()
	switch {
	case *p == nil:
		w.tb.Errorf("%s: no answer", what)
	case (*p).Refusal != want:
		w.tb.Errorf("%s: %s, want %s", what, (*p).Refusal, want)
	}
}

func put(step int64) request {
	return request{Step: step, Action: actBatch, Batch: &kv.BatchRequest{Requests: []kv.Request{&kv.PutRequest{Key: keys.Key("k"), Value: []byte("v")}}}}
}

func commit(step int64) request {
	return request{Step: step, Action: actBatch, Batch: &kv.BatchRequest{Requests: []kv.Request{&kv.EndTxnRequest{Commit: true}}}}
}

func begin() request { return request{Step: 1, Action: actBegin, Name: "T"} }

// The next step is refused while the last one is still being executed: whoever sends it
// does not know the last one's answer.
func TestNoStepOvertakes(t *testing.T) {
	w := newRaw(t, nil)
	first := w.send(begin())
	w.run(time.Second)
	w.slow = time.Second
	second := w.send(put(2))
	w.run(100 * time.Millisecond)
	third := w.send(commit(3))
	w.run(2 * time.Second)
	w.expect("begin", first, accepted)
	w.expect("put", second, accepted)
	w.expect("commit", third, refusedOrder)
	if w.commits["T"] != 0 {
		t.Error("it is committed")
	}
}

// A rollback that comes while a commit is being executed does not undo it, and the
// session ends once. One that is forgotten meanwhile leaves nothing behind.
func TestRollbackDuringCommit(t *testing.T) {
	w := newRaw(t, map[string]int64{"session.remember": int64(time.Second)})
	w.send(begin())
	w.run(time.Second)
	g := w.procs["n1"].gateway
	s := g.open.Front().Value.(*session)
	w.slow = 5 * time.Second
	done := w.send(commit(2))
	w.run(100 * time.Millisecond)
	end := w.send(request{Action: actRollback})
	w.run(time.Second)
	w.expect("rollback", end, accepted)
	if w.run(10 * time.Second); w.commits["T"] != 1 {
		t.Errorf("committed %d times", w.commits["T"])
	}
	w.expect("commit", done, accepted)
	if g.open.Len()+g.ended.Len()+len(g.sessions)+len(g.clients) != 0 || s.kept != 0 || s.answer != nil {
		t.Errorf("left behind: %d open, %d ended, %d clients, %d bytes", g.open.Len(), g.ended.Len(), len(g.clients), s.kept)
	}
}

// A rollback that comes while a step is being executed ends the session, once.
func TestRollbackDuringStep(t *testing.T) {
	w := newRaw(t, nil)
	w.send(begin())
	w.run(time.Second)
	w.slow = 5 * time.Second
	w.send(put(2))
	w.run(100 * time.Millisecond)
	w.send(request{Action: actRollback})
	w.run(10 * time.Second)
	late := w.send(commit(3))
	w.run(10 * time.Second)
	w.expect("commit", late, refusedEnded)
	if g := w.procs["n1"].gateway; g.open.Len() != 0 || g.ended.Len() != 1 || w.commits["T"] != 0 {
		t.Errorf("%d open, %d ended, committed %d times", g.open.Len(), g.ended.Len(), w.commits["T"])
	}
}

// A step of a session with another incarnation of the gateway is none of this one's,
// even if the beginning has arrived here too, late. An earlier incarnation of a client
// begins nothing after a later one.
func TestIncarnations(t *testing.T) {
	w := newRaw(t, nil)
	w.send(begin())
	w.run(time.Second)
	w.procs["n1"].Machine().Kill("test")
	w.startGateway("n1")
	w.run(time.Second)
	w.incarnation = 0
	again := w.send(begin())
	w.run(time.Second)
	w.expect("late begin", again, accepted)
	w.incarnation = 1
	step := w.send(put(2))
	w.run(time.Second)
	w.expect("put", step, refusedUnknown)

	w.incarnation = 0
	w.id.Born, w.id.Number = 9, 2
	earlier := w.send(begin())
	w.run(time.Second)
	w.expect("begin of an earlier incarnation", earlier, refusedUnknown)
}

// A client is taken for gone a while after its last connection to break, and not in the
// middle of a step, for whose answer it may be waiting on a connection that stands; but
// then soon after the step.
func TestConnectionsBreak(t *testing.T) {
	w := newRaw(t, map[string]int64{"session.grace": int64(2 * time.Second)})
	w.send(begin())
	w.run(time.Second)
	g := w.procs["n1"].gateway
	w.slow = 3 * time.Second
	w.send(put(2))
	w.run(100 * time.Millisecond)
	g.closed("c1")
	w.run(2500 * time.Millisecond)
	if g.Open() != 1 {
		t.Fatal("it is given up in the middle of a step")
	}
	if w.run(3 * time.Second); g.Open() != 0 {
		t.Fatal("it is not given up after a step in the middle of which it went")
	}

	w.slow = time.Millisecond
	w.id.Number = 2
	w.send(begin())
	w.run(time.Second)
	g.closed("c1")
	w.run(time.Second)
	w.send(put(2))
	w.run(500 * time.Millisecond)
	g.closed("c1")
	w.run(1500 * time.Millisecond)
	if g.Open() != 1 {
		t.Fatal("it is given up before its time")
	}
	if w.run(time.Second); g.Open() != 0 {
		t.Fatal("it is not given up")
	}
}
