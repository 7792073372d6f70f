package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// TestDialogues plays the files of testdata. Each states its claim, and shows what clients
// do, which batches go from node to node (n4>n1 r2 is a batch from n4 for the replica of
// range 2 at n1, n4<n1 its answer), and what the client gets. See world for who is who.
//
//	begin T1 [n5] [prio=low|high] [at=MS] [deadline=MS]   at n4 unless said otherwise
//	T1 get k | lock k | share k | scan a b | put k v | cput k v [old] | inc k | del k | delrange a b
//	T1 save s | back s | skip | error | commit [k v ...] | rollback | restart
//	n4 get k | put k v | cput k v [old]            without a transaction
//	n4 txn k v ...                                 writes, all in one transaction
//	... &                                          does not wait for the end of the step
//	lose request M | lose answer M | crash after M befalls the next batch with that method
//	lose answers M                                 so of all, until release
//	hold M | release                               such batches wait where they are sent
//	crash n | start n | cut n n | heal | clock n D | transfer rN n | gc rN MS
//	move rN n                                      a transfer that is tried once, and may fail
//	split k [&] | merge k [&]                      asked of the range that holds k
//	change k [+n4] [-n1] [~n5] [lease=n2] [&]      so: adds, removes, makes non-voting
//	run D | state | locks | ranges | leases rN ...
//	pause n | resume n | silence n                 the last ends a node's heartbeats, and nothing else
//
// Left out are the search for the leaseholder, and heartbeats that find nothing new.
//
// Each line begins at a whole multiple of 100 ms, when what it follows upon is over. Timestamps are printed in milliseconds
// since the beginning, cut to multiples of 10; different ones of the same 10 ms are told
// apart by letters in order of appearance, and +1 is the next timestamp after another.
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		d := &dialogue{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			d.t = t
			switch td.Cmd {
			case "new":
				d.boot(td)
				return ""
			case "do":
				for _, line := range strings.Split(strings.TrimSpace(td.Input), "\n") {
					d.line(strings.Fields(line))
				}
				out := d.readable(d.out.String())
				d.out.Reset()
				return out
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

type dialogue struct {
	t       *testing.T
	w       *world
	out     strings.Builder
	txns    map[string]*client
	names   map[string]string           // of transactions, by the beginning of their IDs
	numbers map[string]int              // attempts under new IDs, by name
	plan    map[string]mishap           // by method
	lasts   map[string]bool             // by method: the plan is for all such batches
	holds   map[string]bool             // by method
	asked   map[*kv.BatchRequest]string // what was said of those that are under way
	cuts    []network.Effect
	moments map[string]string // what timestamps are printed as
	taken   map[string]int
}

// client is somebody with a transaction.
type client struct {
	tx    *kv.TxnHandle
	at    *node
	saved map[string]kv.Savepoint
}

func (d *dialogue) boot(td *datadriven.TestData) {
	knobs, offsets := map[string]int64{}, map[kv.NodeID]time.Duration{}
	for _, a := range td.CmdArgs {
		v, err := time.ParseDuration(a.Vals[0])
		if err != nil {
			n, err := strconv.ParseInt(a.Vals[0], 10, 64)
			if err != nil {
				d.t.Fatal(err)
			}
			v = time.Duration(n)
		}
		if len(a.Key) == 2 {
			offsets[nodeID(a.Key)] = v
		} else {
			knobs[a.Key] = int64(v)
		}
	}
	*d = dialogue{t: d.t, w: newWorld(d.t, knobs, offsets), txns: map[string]*client{}, names: map[string]string{}, numbers: map[string]int{},
		plan: map[string]mishap{}, lasts: map[string]bool{}, holds: map[string]bool{}, asked: map[*kv.BatchRequest]string{}, moments: map[string]string{}, taken: map[string]int{}}
	d.w.watch = d
}

func nodeID(s string) kv.NodeID {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "n"))
	if err != nil || n < 1 || n > numNodes {
		panic("no node: " + s)
	}
	return kv.NodeID(n)
}

func rangeID(s string) kv.RangeID {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "r"))
	if err != nil {
		panic("no range: " + s)
	}
	return kv.RangeID(n)
}

func (d *dialogue) say(format string, args ...any) { fmt.Fprintf(&d.out, format+"\n", args...) }

// sends implements watcher.
func (d *dialogue) sends(from, to kv.NodeID, ba *kv.BatchRequest) mishap {
	if txn := ba.Txn; txn != nil {
		if id := kv.FormatTxnID(txn.ID); d.names[id] == "" {
			d.names[id] = txn.Name + strings.Repeat("'", d.numbers[txn.Name])
			d.numbers[txn.Name]++
		}
	}
	what := noMishap
	for _, q := range ba.Requests {
		m := q.Method().String()
		if what == noMishap && d.plan[m] != noMishap {
			if what = d.plan[m]; !d.lasts[m] {
				delete(d.plan, m)
			}
		}
	}
	note := map[mishap]string{loseRequest: "  (lost)"}[what]
	if what == noMishap && d.held(ba) {
		note = "  (held)"
	}
	d.asked[ba] = fmt.Sprintf("  n%d>n%d r%d  %s%s\n", from, to, ba.RangeID, formatBatch(ba), note)
	d.out.WriteString(d.asked[ba])
	return what
}

// held implements watcher.
func (d *dialogue) held(ba *kv.BatchRequest) bool {
	return slices.ContainsFunc(ba.Requests, func(q kv.Request) bool { return d.holds[q.Method().String()] })
}

// answered implements watcher.
func (d *dialogue) answered(from, to kv.NodeID, ba *kv.BatchRequest, br *kv.BatchResponse, err error) {
	asked := d.asked[ba]
	delete(d.asked, ba)
	if redirected(br, err) || tellsNothing(ba, br) {
		d.forget(asked)
		return
	}
	var methods []string
	for _, q := range ba.Requests {
		m := q.Method().String()
		switch q.Method() {
		case kv.EndTxn, kv.PushTxn, kv.QueryTxn, kv.RecoverTxn, kv.GC, kv.HeartbeatTxn:
		default:
			m += " " + q.Span().String()
		}
		methods = append(methods, m)
	}
	s := "no answer"
	switch {
	case err != nil:
	case ba.Requests[0].Method() == kv.PushTxn && pointless(br):
		s = "ended, nobody was moved"
	default:
		s = formatAnswer(br)
		if txn := ba.Txn; txn != nil && br.Txn != nil && br.Txn.WriteTS != txn.WriteTS && br.Err == nil {
			s += ", writes at " + br.Txn.WriteTS.String()
			if br.Txn.ReadTS != txn.ReadTS {
				s += ", reads too"
			}
		}
	}
	d.say("  n%d<n%d r%d  %s: %s", from, to, ba.RangeID, strings.Join(methods, ", "), s)
}

// redirected reports that a replica was asked that has no lease, or could not be reached.
func redirected(br *kv.BatchResponse, err error) bool {
	var e *rpc.Error
	return errors.As(err, &e) && !e.Sent || br != nil && br.Err != nil && br.Err.Kind == kv.NotLeaseholder
}

// tellsNothing reports that a heartbeat or a query found nothing new, or that nobody waits
// for the answer to a query any more.
func tellsNothing(ba *kv.BatchRequest, br *kv.BatchResponse) bool {
	switch ba.Requests[0].(type) {
	case *kv.HeartbeatTxnRequest:
		return br != nil && br.Err == nil
	case *kv.QueryTxnRequest:
		if br != nil && br.Err == nil {
			q := br.Responses[0].(*kv.QueryTxnResponse)
			return q.Txn.Status == kv.Pending && len(q.Waiting) == 0
		}
		return true
	}
	return false
}

// pointless reports that a push has ended because its pushee had, or because its pusher saw
// that sooner. Which of the two is the case is chance.
func pointless(br *kv.BatchResponse) bool {
	if br.Err != nil {
		return br.Err.Kind == kv.Timeout
	}
	push, ok := br.Responses[0].(*kv.PushTxnResponse)
	return ok && push.Pushee.Status == kv.Committed
}

// forget takes back what was said last of several that are the same.
func (d *dialogue) forget(line string) {
	s := d.out.String()
	if i := strings.LastIndex(s, line); i >= 0 {
		d.out.Reset()
		d.out.WriteString(s[:i] + s[i+len(line):])
	}
}

func (d *dialogue) line(f []string) {
	d.say("%s", strings.Join(f, " "))
	background := f[len(f)-1] == "&"
	if background {
		f = f[:len(f)-1]
	}
	switch c := d.txns[f[0]]; {
	case c != nil:
		d.step(c.at, f[0], background, func(t env.Task) (string, error) { return c.act(t, f[1], f[2:]) })
	case len(f) > 1 && len(f[0]) == 2 && f[0][0] == 'n':
		n := d.w.node(nodeID(f[0]))
		d.step(n, f[0], background, func(t env.Task) (string, error) { return plain(t, n.db, f[1], f[2:]) })
	case f[0] == "move":
		d.move(rangeID(f[1]), nodeID(f[2]), background)
	default:
		d.command(f)
	}
	if f[0] != "begin" {
		d.w.run(120 * time.Millisecond)
	}
	d.w.runTo(100 * time.Millisecond)
	for _, finding := range d.w.sim.Findings() {
		d.t.Fatal(finding.String())
	}
}

//house:flat one case a command
func (d *dialogue) command(f []string) {
	w := d.w
	switch f[0] {
	case "begin":
		d.begin(f[1], f[2:])
	case "lose":
		d.plan[f[2]] = map[string]mishap{"request": loseRequest, "answer": loseAnswer, "answers": loseAnswer}[f[1]]
		d.lasts[f[2]] = f[1] == "answers"
	case "hold":
		d.holds[f[1]] = true
	case "release":
		clear(d.holds)
		clear(d.plan)
	case "crash":
		if f[1] == "after" {
			d.plan[f[2]] = crashSender
			return
		}
		w.node(nodeID(f[1])).kill()
	case "start":
		n := w.node(nodeID(f[1]))
		n.boot()
		w.until(20*time.Second, "a node does not start", func() bool { return n.server != nil })
	case "cut":
		a, b := []string{f[1]}, []string{f[2]}
		d.cuts = append(d.cuts, w.net.Cut(a, b, network.Drop), w.net.Cut(b, a, network.Drop))
	case "heal":
		for _, c := range d.cuts {
			c.Heal()
		}
		d.cuts = nil
	case "clock":
		w.node(nodeID(f[1])).machine.Clock().Step(duration(f[2]))
	case "transfer":
		w.lease(rangeID(f[1]), nodeID(f[2]))
	case "gc":
		n := w.node(4)
		d.step(n, "gc", false, func(t env.Task) (string, error) {
			_, err := n.db.Batch(t, kv.Header{}, &kv.GCRequest{Key: w.descs[rangeID(f[1])-1].StartKey, Threshold: d.at(f[2])})
			return "ok", err
		})
	case "split":
		d.step(w.node(4), "split", f[len(f)-1] == "&", func(t env.Task) (string, error) {
			_, err := w.node(4).db.Batch(t, kv.Header{}, &kv.AdminSplitRequest{Key: splitAt(f[1]), SplitKey: splitAt(f[1])})
			return "ok", err
		})
	case "merge":
		d.step(w.node(4), "merge", f[len(f)-1] == "&", func(t env.Task) (string, error) {
			_, err := w.node(4).db.Batch(t, kv.Header{}, &kv.AdminMergeRequest{Key: splitAt(f[1])})
			return "ok", err
		})
	case "change":
		d.step(w.node(4), "change", f[len(f)-1] == "&", func(t env.Task) (string, error) {
			br, err := w.node(4).db.Batch(t, kv.Header{}, d.changeOf(f[1:]))
			if err != nil {
				return "", err
			}
			return formatReplicas(&br.Responses[0].(*kv.AdminChangeReplicasResponse).Desc), nil
		})
	case "ranges":
		d.ranges()
	case "leases":
		d.leases(f[1:])
	case "silence":
		w.node(nodeID(f[1])).server.liveness.Stop()
	case "pause":
		w.node(nodeID(f[1])).machine.Pause()
	case "resume":
		w.node(nodeID(f[1])).machine.Resume()
	case "run":
		w.run(duration(f[1]))
	case "state":
		d.state()
	case "locks":
		d.locks()
	default:
		d.t.Fatalf("unknown command %s", f)
	}
}

func duration(s string) time.Duration {
	v, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return v
}

// at is a timestamp of so many milliseconds since the beginning.
func (d *dialogue) at(ms string) hlc.Timestamp {
	n, err := strconv.Atoi(ms)
	if err != nil {
		d.t.Fatal(err)
	}
	return hlc.Timestamp{Wall: d.w.start + int64(n)*1e6}
}

func (d *dialogue) begin(name string, args []string) {
	n, o := d.w.node(4), kv.TxnOptions{Name: name, Priority: 5}
	var at, deadline hlc.Timestamp
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "prio":
			o.Priority = map[string]int32{"low": kv.MinPriority, "high": kv.MaxPriority}[v]
		case "at":
			at = d.at(v)
		case "deadline":
			deadline = d.at(v)
		default:
			n = d.w.node(nodeID(k))
		}
	}
	n.proc.Go("begin", func(t env.Task) {
		tx, err := n.db.Begin(t, o)
		if err == nil && !at.IsEmpty() {
			err = tx.FixTimestamp(t, at)
		}
		if err != nil {
			panic(err)
		}
		if !deadline.IsEmpty() {
			tx.SetDeadline(deadline)
		}
		d.txns[name] = &client{tx: tx, at: n, saved: map[string]kv.Savepoint{}}
		d.names[kv.FormatTxnID(tx.Txn().ID)] = name
		d.numbers[name] = 1
	})
	d.w.run(0)
	d.say("  = begins at %s", d.txns[name].tx.ReadTimestamp())
}

// step has a client do something, to its end or in the background.
func (d *dialogue) step(n *node, who string, background bool, act func(t env.Task) (string, error)) {
	if n.server == nil {
		d.say("  = n%d is down", n.id)
		return
	}
	proc, done := n.proc, false
	proc.Go("client", func(t env.Task) {
		s, err := act(t)
		if err != nil {
			e := kv.AsError(err)
			s = "error: " + formatError(e)
			if e.Kind == kv.ConditionFailed {
				s += ", it is " + formatActual(e.Actual)
			}
			if e.Cause != nil {
				s += ", because of: " + formatError(e.Cause)
			}
		}
		d.say("  = %s: %s", who, s)
		done = true
	})
	if background {
		return
	}
	d.w.until(time.Minute, "a step does not end", func() bool { return done || n.proc != proc || n.server == nil })
	if !done {
		d.say("  = %s: died with n%d", who, n.id)
	}
}
