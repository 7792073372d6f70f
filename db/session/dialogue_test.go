package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// TestDialogues plays the files of testdata: what clients ask for, what gateways do, and
// what clients are told. There are two gateways, and a client whose first choice is n1.
// Lines that are indented by four are what happens at a gateway.
//
//	begin T1 [prio=n]
//	T1 get k | put k v | save s | back s | prio n | restart | commit [k v] | rollback
//	T1 getcommit k          reads and commits, in one batch
//	T1 again [n]            the request of step n, of the last one, arrives once more
//	mishap step kind        what befalls when the next such batch (put, get, commit) was executed:
//	                        reset (connections break), kill (the gateway), cut (answers vanish),
//	                        retry (it is told to begin its next epoch)
//	later d n               connections with n break after a while
//	big k n                 k has a value of n bytes
//	cut n                   the client hears nothing from n any more, until heal
//	slow d | kill n | start n | client | heal | drain n | run d | state
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *dialogue
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				knobs := map[string]int64{}
				for _, a := range d.CmdArgs {
					v, err := time.ParseDuration(a.Vals[0])
					if err != nil {
						fmt.Sscan(a.Vals[0], &v)
					}
					knobs[a.Key] = int64(v)
				}
				w = &dialogue{toy: newToy(t, 1, knobs, 2), t: t, txns: map[string]*kv.TxnHandle{}, ends: map[string]*Txn{}, saved: map[string]kv.Savepoint{}}
				return "ok\n"
			case "do":
				for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
					w.say("%s", line)
					w.line(strings.Fields(line))
				}
				out := w.out.String()
				w.out.Reset()
				return out
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

type dialogue struct {
	*toy
	t     *testing.T
	txns  map[string]*kv.TxnHandle
	ends  map[string]*Txn // the client's end of each
	saved map[string]kv.Savepoint
	cuts  network.Effect
}

func (w *dialogue) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

//house:flat one case a step
func (w *dialogue) line(f []string) {
	switch f[0] {
	case "begin":
		// Unless the dialogue says "later" the beginning is a step of its own.
		o := kv.TxnOptions{Name: f[1]}
		if len(f) > 2 {
			fmt.Sscanf(f[2], "prio=%d", &o.Priority)
		}
		w.step(f[1], func(t env.Task, _ *kv.TxnHandle) (string, error) {
			c := w.procs["c1"]
			if f[len(f)-1] != "later" {
				c.remote.answered = ""
			}
			once := &noted{c.remote, nil}
			tx, err := c.db.WithTxns(once).Begin(t, o)
			if err != nil {
				return "", err
			}
			w.txns[f[1]], w.ends[f[1]] = tx, once.txn
			return "begun at " + once.txn.Gateway(), nil
		})
	case "mishap":
		w.befall(f[1], f[2])
	case "slow":
		w.slow = w.duration(f[1])
	case "kill":
		w.procs[f[1]].Machine().Kill("test")
	case "start":
		w.startGateway(f[1])
	case "client":
		w.procs["c1"].Machine().Kill("test")
		w.startClient("c1", []string{"n1", "n2"})
	case "later":
		w.s.Schedule(w.duration(f[1]), "reset", func() { w.net.Reset([]string{"c1"}, []string{f[2]}) })
	case "big":
		var n int
		fmt.Sscan(f[2], &n)
		w.data[f[1]] = strings.Repeat("x", n)
	case "cut":
		w.cuts = w.net.Cut([]string{f[1]}, []string{"c1"}, network.Drop)
	case "heal":
		w.cuts.Heal()
	case "drain":
		p := w.procs[f[1]]
		p.Go("drain", func(t env.Task) {
			p.gateway.Drain(t)
			w.say("    %s has stopped", f[1])
		})
	case "run":
		w.run(w.duration(f[1]))
	case "state":
		w.state()
	default:
		w.step(f[0], func(t env.Task, tx *kv.TxnHandle) (string, error) { return w.act(t, tx, w.ends[f[0]], f[1], f[2:]) })
	}
}

// noted keeps what was begun.
type noted struct {
	r   *Remote
	txn *Txn
}

func (n *noted) Begin(t env.Task, o kv.TxnOptions) (kv.TxnSender, *kv.Error) {
	c, err := n.r.BeginTxn(t, o)
	n.txn = c
	return c, err
}

// befall arranges what happens after the next batch of that kind.
func (w *dialogue) befall(what, kind string) {
	what = map[string]string{"put": "Put(", "get": "Get(", "commit": "EndTxn("}[what]
	w.mishap = func(gateway, name, batch string) *kv.Error {
		if !strings.Contains(batch, what) {
			return nil
		}
		w.mishap = nil
		switch kind {
		case "reset":
			w.net.Reset([]string{"c1"}, []string{gateway})
		case "cut":
			w.cuts = w.net.Cut([]string{gateway}, []string{"c1"}, network.Drop)
		case "kill":
			w.say("    %s crashes", gateway)
			w.s.Schedule(0, "kill", func() { w.procs[gateway].Machine().Kill("test") })
			w.procs[gateway].Current().Sleep(time.Second)
		case "retry":
			return kv.RetryError(kv.RetrySerializable, "")
		}
		return nil
	}
}

// step runs one step of the client to its end.
func (w *dialogue) step(name string, do func(t env.Task, tx *kv.TxnHandle) (string, error)) {
	done := false
	start := w.s.Now()
	w.procs["c1"].Go("step", func(t env.Task) {
		result, err := do(t, w.txns[name])
		if err != nil {
			e := kv.AsError(err)
			result = "error: " + e.Error()
			if e.Retryable() {
				result += " (retryable)"
			}
		}
		w.say("  = %s, after %s", result, time.Duration(w.s.Now()-start).Round(10*time.Millisecond))
		done = true
	})
	for i := 0; i < 100000 && !done; i++ {
		w.run(time.Millisecond)
	}
	if !done {
		w.t.Fatal("the step does not end")
	}
	w.run(20 * time.Millisecond)
}

//house:flat one case a step
func (w *dialogue) act(t env.Task, tx *kv.TxnHandle, end *Txn, op string, args []string) (string, error) {
	switch op {
	case "get":
		v, err := tx.Get(t, keys.Key(args[0]))
		return fmt.Sprintf("%q", v.Bytes), err
	case "put":
		return "ok", tx.Put(t, keys.Key(args[0]), []byte(args[1]))
	case "save":
		s, err := tx.Savepoint(t)
		w.saved[args[0]] = s
		return "ok", err
	case "back":
		return "ok", tx.RollbackTo(t, w.saved[args[0]])
	case "prio":
		var p int32
		fmt.Sscan(args[0], &p)
		tx.SetPriority(p)
		return "ok", nil
	case "restart":
		if err := tx.Restart(t); err != nil {
			return "", err
		}
		return fmt.Sprintf("epoch %d, priority %d at %s", tx.Txn().Epoch, tx.Txn().Priority, end.Gateway()), nil
	case "commit":
		var last []kv.Request
		if len(args) > 0 {
			last = append(last, &kv.PutRequest{Key: keys.Key(args[0]), Value: []byte(args[1])})
		}
		_, err := tx.CommitWith(t, kv.Header{}, last...)
		return "committed at " + end.Gateway(), err
	case "getcommit":
		br, err := tx.CommitWith(t, kv.Header{}, &kv.GetRequest{Key: keys.Key(args[0])})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("committed, %d bytes read", len(br.Responses[0].(*kv.GetResponse).Value)), nil
	case "rollback":
		tx.Rollback(t)
		return "ok", nil
	case "again":
		step := end.step
		if len(args) > 0 {
			fmt.Sscan(args[0], &step)
		}
		// Its content does not matter: the number alone says what it is.
		q := &request{ID: end.id, Incarnation: end.incarnation, Step: step, Left: 5 * time.Second, Action: actBatch,
			Batch: &kv.BatchRequest{Requests: []kv.Request{&kv.PutRequest{Key: keys.Key("x"), Value: []byte("again")}}}}
		m, err := w.procs["c1"].node.Call(t, end.endpoint, Kind, q, 5*time.Second)
		if err != nil {
			return "", err
		}
		return "answered: " + m.(*response).String(), nil
	}
	w.t.Fatalf("unknown step %s", op)
	return "", nil
}
