package cluster

import (
	"errors"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/kvclient"
	"simulacrum/db/rpc"
	"simulacrum/db/session"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

// Client is a client endpoint: a machine of its own, near some nodes, that talks to
// one gateway at a time. Its clocks are as good as any; nothing depends on them.
type Client struct {
	cluster  *Cluster
	place    nemesis.Place
	machine  *sim.Machine
	turn     int      // of the clients of its zone
	session  *Session // the living incarnation's, or the last
	program  func(t env.Task, s *Session)
	sessions uint64 // incarnations so far
}

func newClient(c *Cluster, p nemesis.Place, turn int) *Client {
	return &Client{
		cluster: c,
		place:   p,
		turn:    turn,
		machine: c.sim.Machine(p.Name, sim.MachineConfig{Region: p.Region, Zone: p.Zone}),
	}
}

// Name is the client's, such as "c12".
func (c *Client) Name() string { return c.place.Name }

// Place is where the client stands.
func (c *Client) Place() nemesis.Place { return c.place }

func (c *Client) machineOf() *sim.Machine { return c.machine }

// Run sets what each incarnation of the client does, and starts the first one.
func (c *Client) Run(program func(t env.Task, s *Session)) {
	c.program = program
	if c.machine.Proc() == nil {
		c.start()
	}
}

// start begins an incarnation. A client without a program stays down.
func (c *Client) start() {
	if c.program == nil {
		return
	}
	c.sessions++
	e := c.cluster.newEnv(c.machine, "client", nil)
	s := &Session{client: c, env: e}
	s.rpc = rpc.New(e, nil)
	s.remote = kvclient.NewRemote(e, s.rpc, c.gateways())
	c.session = s
	s.txns = session.NewRemote(e, s.rpc, s.remote.Gateways())
	s.db = kv.NewDB(s.remote, uint64(c.machineNumber())<<40|c.sessions<<24).WithTxns(s.txns)
	e.Go("client", func(t env.Task) { c.program(t, s) })
}

// gateways are the nodes that the client may enter the cluster by, the nearest first.
func (c *Client) gateways() []string {
	var members []nemesis.Place
	for _, n := range c.cluster.nodes {
		if n.Joined() {
			members = append(members, n.place)
		}
	}
	return nearest(members, c.place, c.turn)
}

func (c *Client) machineNumber() int {
	for i, o := range c.cluster.clients {
		if o == c {
			return i + 1
		}
	}
	return 0
}

// Session is one incarnation of a client. It implements workloads.Txns.
type Session struct {
	client *Client
	env    *procEnv
	rpc    *rpc.Node
	remote *kvclient.Remote
	txns   *session.Remote
	db     *kv.DB
}

var _ workloads.KV = (*Session)(nil)

// Name implements workloads.KV.
func (s *Session) Name() string { return s.client.Name() }

// Gateway implements workloads.KV.
func (s *Session) Gateway() string { return s.remote.Gateway() }

// Env is the incarnation's environment.
func (s *Session) Env() env.Env { return s.env }

// DB is the handle that Do uses. Its transactions are conversations with the gateway.
func (s *Session) DB() *kv.DB { return s.db }

// Do implements workloads.KV.
func (s *Session) Do(t env.Task, ops []workloads.Op, opt workloads.Options) (workloads.Result, error) {
	before := t.SetDeadline(s.env.Mono() + s.client.cluster.cfg.ClientTimeout)
	defer t.SetDeadline(before)
	h := kv.Header{
		Timestamp: hlc.Timestamp{Wall: opt.AtTimestamp.Wall, Logical: opt.AtTimestamp.Logical},
		Deadline:  s.client.cluster.cfg.ClientTimeout,
		MaxKeys:   limitOf(ops),
	}
	requests := make([]kv.Request, len(ops))
	for i := range ops {
		requests[i] = request(&ops[i])
	}
	br, err := s.db.Batch(t, h, requests...)
	if err != nil {
		return workloads.Result{}, clientError(err)
	}
	out := workloads.Result{Ops: make([]workloads.OpResult, len(ops)), Timestamp: workloads.Timestamp{Wall: br.Timestamp.Wall, Logical: br.Timestamp.Logical}}
	for i, r := range br.Responses {
		out.Ops[i] = result(r)
	}
	return out, nil
}

func request(o *workloads.Op) kv.Request {
	key := keyOf(o.Key)
	switch o.Kind {
	case workloads.Get:
		return &kv.GetRequest{Key: key, Locking: lockingOf(o)}
	case workloads.Put:
		return &kv.PutRequest{Key: key, Value: o.Value}
	case workloads.CPut:
		return &kv.ConditionalPutRequest{Key: key, Value: o.Value, Expected: o.Expect, ExpectedExists: o.Expect != nil}
	case workloads.Delete:
		return &kv.DeleteRequest{Key: key}
	case workloads.Increment:
		return &kv.IncrementRequest{Key: key, By: o.Delta}
	case workloads.Scan:
		return &kv.ScanRequest{Key: key, EndKey: keyOf(o.End), Locking: lockingOf(o)}
	case workloads.ReverseScan:
		return &kv.ReverseScanRequest{Key: key, EndKey: keyOf(o.End), Locking: lockingOf(o)}
	case workloads.InitPut:
		return &kv.InitPutRequest{Key: key, Value: o.Value}
	case workloads.DeleteRange:
		return &kv.DeleteRangeRequest{Key: key, EndKey: keyOf(o.End)}
	}
	panic("cluster: operation of no known kind")
}

func lockingOf(o *workloads.Op) kv.Locking {
	var l kv.Locking
	switch o.Lock {
	case workloads.SharedLock:
		l.Lock = kv.LockShared
	case workloads.ExclusiveLock:
		l.Lock = kv.LockExclusive
	default:
		return l
	}
	if o.LockReplicated {
		l.Durability = kv.Replicated
	}
	return l
}

// limitOf is the limit of a batch: that of its only operation.
func limitOf(ops []workloads.Op) int64 {
	if len(ops) == 1 {
		return ops[0].Limit
	}
	return 0
}

func result(r kv.Response) workloads.OpResult {
	switch r := r.(type) {
	case *kv.GetResponse:
		if r.Exists {
			return workloads.OpResult{Value: nonNil(r.Value)}
		}
	case *kv.IncrementResponse:
		return workloads.OpResult{Int: r.Value}
	case *kv.ScanResponse:
		return workloads.OpResult{Rows: rowsOf(r.Rows), More: r.Resume.EndKey != nil}
	case *kv.ReverseScanResponse:
		return workloads.OpResult{Rows: rowsOf(r.Rows), More: r.Resume.EndKey != nil}
	case *kv.DeleteRangeResponse:
		return workloads.OpResult{Int: r.Count}
	}
	return workloads.OpResult{}
}

func rowsOf(rows []kv.KeyValue) []workloads.Row {
	out := make([]workloads.Row, len(rows))
	for i, r := range rows {
		out[i] = workloads.Row{Key: UserKey(r.Key), Value: nonNil(r.Value)}
	}
	return out
}

// nonNil keeps an empty value apart from none.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// clientError sorts the database's errors into the classes that workloads know.
func clientError(err error) error {
	e := kv.AsError(err)
	switch {
	case e.Kind == kv.ConditionFailed:
		c := &workloads.ConditionError{Index: int(e.Index), Timestamp: workloads.Timestamp{Wall: e.Timestamp.Wall, Logical: e.Timestamp.Logical}}
		if e.Actual != nil {
			c.Actual = nonNil(e.Actual.Value)
		}
		return c
	case e.Ambiguous():
		return errors.Join(workloads.ErrAmbiguous, e)
	}
	return errors.Join(workloads.ErrFailed, e)
}

// Clients' keys live behind a prefix, above all tables.
var clientPrefix = keys.ClientStart

func keyOf(k []byte) keys.Key {
	return append(clientPrefix[:len(clientPrefix):len(clientPrefix)], k...)
}

// UserKey is a client's key as the client knows it; nil if k is not a client's.
func UserKey(k keys.Key) []byte {
	if len(k) < len(clientPrefix) || k[0] != clientPrefix[0] {
		return nil
	}
	return k[len(clientPrefix):]
}
