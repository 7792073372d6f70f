package session

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/kvclient"
	"simulacrum/db/rpc"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// process is one incarnation of a gateway or a client.
type process struct {
	*sim.Proc
	*network.Endpoint
	node    *rpc.Node
	gateway *Gateway
	remote  *Remote
	db      *kv.DB
}

func (p *process) FS() vfs.FS { return nil }

// toy is gateways and a client on the simulated network. What gateways coordinate are
// transactions of a toy: one map for all, in which a commit happens at once.
type toy struct {
	tb           testing.TB
	s            *sim.Sim
	net          *network.Network
	procs        map[string]*process
	incarnations map[string]int64
	data         map[string]string
	commits      map[string]int // by the name of the transaction
	ids          byte
	mishap       func(gateway, name, what string) *kv.Error // befalls after the step was done
	slow         time.Duration                              // each batch takes this long
	out          strings.Builder
}

func newToy(tb testing.TB, seed uint64, knobs map[string]int64, gateways int) *toy {
	w := &toy{tb: tb, s: sim.New(sim.Config{Seed: seed, Epoch: 1e12, Knobs: knobs}), procs: map[string]*process{},
		incarnations: map[string]int64{}, data: map[string]string{}, commits: map[string]int{}, slow: time.Millisecond}
	tb.Cleanup(w.s.Close)
	w.net = network.New(w.s, network.Config{Decode: true})
	var names []string
	for n := range gateways {
		names = append(names, fmt.Sprintf("n%d", n+1))
		w.startGateway(names[n])
	}
	w.startClient("c1", names)
	return w
}

func (w *toy) start(name string) *process {
	var m *sim.Machine
	if old := w.procs[name]; old != nil {
		m = old.Machine()
	} else {
		m = w.s.Machine(name, sim.MachineConfig{Cores: 4, Memory: 1 << 32})
	}
	p := &process{Proc: m.Start("test")}
	p.Endpoint = w.net.Attach(p.Proc, network.Location{Region: "r", Zone: name})
	w.procs[name] = p
	w.incarnations[name]++
	return p
}

func (w *toy) startGateway(name string) {
	p := w.start(name)
	p.node = rpc.New(p, hlc.NewClock(p, 500*time.Millisecond))
	p.gateway = Serve(p, p.node, &toyStarter{w, p}, kv.NodeID(name[1]-'0'), w.incarnations[name])
	p.node.Listen()
}

func (w *toy) startClient(name string, gateways []string) {
	p := w.start(name)
	p.node = rpc.New(p, nil)
	remote := kvclient.NewRemote(p, p.node, gateways)
	p.remote = NewRemote(p, p.node, remote.Gateways())
	p.db = kv.NewDB(remote, 0).WithTxns(p.remote)
}

func (w *toy) run(d time.Duration) {
	w.s.RunUntil(w.s.Now() + sim.Time(d))
	for _, f := range w.s.Findings() {
		w.tb.Fatalf("%s\n%s", f.String(), f.Stack)
	}
}

func (w *toy) say(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

// toyStarter begins transactions at one gateway.
type toyStarter struct {
	w *toy
	p *process
}

func (s *toyStarter) Begin(_ env.Task, o kv.TxnOptions) (kv.TxnSender, *kv.Error) {
	s.w.ids++
	now := hlc.Timestamp{Wall: int64(s.w.s.Now())}
	priority := o.Priority
	if priority == 0 {
		priority = 100 + int32(s.w.ids) // by lot, so to say
	}
	c := &toyTxn{w: s.w, p: s.p, txn: kv.NewTxn(kv.TxnID{s.w.ids}, o.Name, priority, now, now)}
	c.busy.Free = 1
	s.w.say("    %s: begins %s, priority %d", s.p.Name(), o.Name, priority)
	return c, nil
}

// toyTxn coordinates a transaction whose writes are kept here until it commits.
type toyTxn struct {
	w      *toy
	p      *process
	txn    *kv.Txn
	busy   env.Semaphore
	writes []toyWrite
	retry  *kv.Error
	ended  bool
}

type toyWrite struct {
	key, value string
}

func (c *toyTxn) Txn() *kv.Txn { return c.txn }

func (c *toyTxn) SetPriority(p int32) {
	c.w.say("    %s: %s has priority %d", c.p.Name(), c.txn.Name, p)
	c.txn.Priority = p
}

func (c *toyTxn) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	et := ba.EndTxn()
	if err := c.busy.Acquire(t, "toy", -1); err == nil {
		defer c.busy.Release()
	}
	if et != nil && !et.Commit {
		if !c.ended {
			c.w.say("    %s: rolls back %s", c.p.Name(), c.txn.Name)
		}
		c.ended = true
		return &kv.BatchResponse{Responses: []kv.Response{&kv.EndTxnResponse{}}}
	}
	switch {
	case c.ended:
		return kv.ErrorResponse(kv.Errorf(kv.TransactionStatus, "the transaction has ended"))
	case c.retry != nil:
		return kv.ErrorResponse(c.retry)
	}
	c.w.say("    %s: %s executes %s", c.p.Name(), c.txn.Name, ba)
	if t.Sleep(c.w.slow) != nil {
		return kv.ErrorResponse(kv.Errorf(kv.Timeout, "the toy was too slow"))
	}
	br := &kv.BatchResponse{Txn: c.txn}
	for _, r := range ba.Requests {
		br.Responses = append(br.Responses, c.request(r))
	}
	if c.w.mishap != nil {
		if err := c.w.mishap(c.p.Name(), c.txn.Name, ba.String()); err != nil {
			c.retry = err
			return kv.ErrorResponse(err)
		}
	}
	return br
}

func (c *toyTxn) request(r kv.Request) kv.Response {
	switch r := r.(type) {
	case *kv.PutRequest:
		c.writes = append(c.writes, toyWrite{string(r.Key), string(r.Value)})
		c.txn.Key = r.Key
		return &kv.PutResponse{}
	case *kv.GetRequest:
		v, ok := c.w.data[string(r.Key)]
		for _, w := range c.writes {
			if w.key == string(r.Key) {
				v, ok = w.value, true
			}
		}
		return &kv.GetResponse{Exists: ok, Value: []byte(v)}
	case *kv.EndTxnRequest:
		for _, w := range c.writes {
			c.w.data[w.key] = w.value
		}
		c.ended, c.txn.Status = true, kv.Committed
		c.w.commits[c.txn.Name]++
		return &kv.EndTxnResponse{}
	}
	panic("toy: " + kv.FormatRequest(r))
}

func (c *toyTxn) Restart(env.Task) *kv.Error {
	if c.retry == nil {
		return kv.Errorf(kv.TransactionStatus, "no restart is due")
	}
	c.retry, c.writes = nil, nil
	c.txn.Epoch++
	return nil
}

func (c *toyTxn) Savepoint(env.Task) (kv.Savepoint, *kv.Error) {
	return kv.Savepoint{ID: c.txn.ID, Epoch: c.txn.Epoch, Sequence: int32(len(c.writes))}, nil
}

func (c *toyTxn) RollbackTo(_ env.Task, s kv.Savepoint) *kv.Error {
	if s.ID != c.txn.ID || s.Epoch != c.txn.Epoch {
		return kv.Errorf(kv.BadRequest, "the savepoint is not of this attempt")
	}
	c.writes = c.writes[:s.Sequence]
	return nil
}

func (c *toyTxn) FixTimestamp(_ env.Task, ts hlc.Timestamp) *kv.Error {
	c.txn.ReadTS, c.txn.WriteTS = ts, ts
	return nil
}

// state shows what is committed, and the sessions.
func (w *toy) state() {
	var rows []string
	for k, v := range w.data {
		rows = append(rows, k+"="+v)
	}
	sort.Strings(rows)
	w.say("  committed: %s", strings.Join(rows, " "))
	for n := 1; n <= 9; n++ {
		p := w.procs[fmt.Sprintf("n%d", n)]
		switch {
		case p == nil:
		case !p.Alive():
			w.say("  %s is down", p.Name())
		default:
			w.say("  %s has %d sessions, %d of them open", p.Name(), len(p.gateway.sessions), p.gateway.Open())
		}
	}
}
