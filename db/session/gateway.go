package session

import (
	"container/list"
	"time"

	"simulacrum/db/kv"
	"simulacrum/db/rpc"
	"simulacrum/sim/env"
)

// Gateway is a node's end of the sessions of its clients.
type Gateway struct {
	p           env.Process
	starter     kv.TxnStarter
	node        kv.NodeID
	incarnation int64
	set         gatewaySettings

	sessions map[key]*session   // looked up only: order is that of the lists
	open     *list.List         // in order of their last steps
	ended    *list.List         // in order of their end
	idles    env.Timer          // to look at the first that is open; 0: none
	forgets  env.Timer          // the same for the first that has ended
	clients  map[string]*client // of the sessions, looked up only
	stopping bool
	drained  *env.Promise[struct{}] // if somebody waits for the last to end
}

// key finds a session.
type key struct {
	client string
	id     ID
}

// client is what is known of an endpoint that has sessions, ended ones included.
type client struct {
	born     time.Duration // of its latest incarnation
	sessions int
	// heard is when its last step came, and broke when a connection of it was last over,
	// by Mono.
	heard, broke time.Duration
	timer        env.Timer // to look whether it is gone; 0: none
}

type gatewaySettings struct {
	idle, grace, remember, drain time.Duration
	max, answerBytes             int
}

// Serve has sessions answered at node n. Transactions are begun by starter. The
// incarnation is a number that no other of the same node has, above 0.
func Serve(p env.Process, n *rpc.Node, starter kv.TxnStarter, node kv.NodeID, incarnation int64) *Gateway {
	g := &Gateway{
		p: p, starter: starter, node: node, incarnation: incarnation,
		set: gatewaySettings{
			idle: env.Duration(p, knobIdle), grace: env.Duration(p, knobGrace), remember: env.Duration(p, knobRemember), drain: env.Duration(p, knobDrain),
			max: int(p.Knob(knobMax)), answerBytes: int(p.Knob(knobAnswerBytes)),
		},
		sessions: map[key]*session{}, clients: map[string]*client{}, open: list.New(), ended: list.New(),
	}
	n.OnClosed(g.closed)
	n.Handle(Kind, func(t env.Task, from string, m env.Message) env.Message { return g.step(t, from, m.(*request)) })
	return g
}

// Open is how many sessions have not ended.
func (g *Gateway) Open() int { return g.open.Len() }

// step executes one step, or answers it otherwise.
func (g *Gateway) step(t env.Task, from string, q *request) *response {
	if q.Left > 0 {
		bind(g.p, t, q.Left)
	}
	k := key{from, q.ID}
	s := g.sessions[k]
	switch {
	case (q.Step < 1 || q.Action == actBegin && q.Step != 1) && q.Action != actRollback:
		return g.answer(refusedOrder)
	case s == nil && q.begins() && (q.Incarnation == 0 || q.Incarnation == g.incarnation):
		return g.begin(t, k, q)
	case s == nil, q.Incarnation != 0 && q.Incarnation != g.incarnation:
		return g.answer(refusedUnknown)
	}
	s.client.heard = g.p.Mono()
	return s.step(t, q)
}

func (g *Gateway) answer(f refusal) *response {
	return &response{Refusal: f, Node: g.node, Incarnation: g.incarnation}
}

// begin makes a session.
func (g *Gateway) begin(t env.Task, k key, q *request) *response {
	if g.stopping {
		return g.answer(refusedStopping)
	}
	if !g.admit(k) {
		return g.answer(refusedUnknown)
	}
	if !g.room() {
		g.p.Probe(ProbeFull)
		return g.answer(refusedFull)
	}
	c := g.clients[k.client]
	if c == nil {
		c = &client{}
		g.clients[k.client] = c
	}
	c.born, c.heard = max(c.born, k.id.Born), g.p.Mono()
	c.sessions++
	s := &session{g: g, key: k, client: c}
	s.place = g.open.PushBack(s)
	g.sessions[k] = s
	g.touch(s)
	return s.run(t, q)
}

// touch notes that the session is not idle. One timer serves all that are open: it is
// not moved with every step, but finds out when it is due.
func (g *Gateway) touch(s *session) {
	s.since = g.p.Mono()
	g.open.MoveToBack(s.place)
	if g.idles == 0 {
		g.idles = g.p.After(g.set.idle, "sessions idle", g.lookIdle)
	}
}

// lookIdle rolls back what was idle for too long, and comes again for the next.
func (g *Gateway) lookIdle() {
	g.idles = 0
	for e := g.open.Front(); e != nil; e = g.open.Front() {
		s := e.Value.(*session)
		left := s.since + g.set.idle - g.p.Mono()
		switch {
		case left > 0:
			g.idles = g.p.After(left, "sessions idle", g.lookIdle)
			return
		case s.running:
			g.touch(s)
		default:
			g.p.Probe(ProbeIdle)
			s.rollback("it was idle for " + g.set.idle.String())
		}
	}
}

// forget forgets the sessions that ended long ago, and comes again for the next.
func (g *Gateway) forget() {
	g.forgets = 0
	for e := g.ended.Front(); e != nil; e = g.ended.Front() {
		s := e.Value.(*session)
		if left := s.since + g.set.remember - g.p.Mono(); left > 0 {
			g.forgets = g.p.After(left, "sessions forgotten", g.forget)
			return
		}
		s.forget()
	}
}

// admit rolls back what earlier incarnations of the client have left behind, whose end
// nobody will ever ask for. It reports whether this one is not itself such a one.
func (g *Gateway) admit(k key) bool {
	c := g.clients[k.client]
	if c == nil || c.born == k.id.Born {
		return true
	}
	if k.id.Born < c.born {
		return false
	}
	g.visit(c, func(s *session) {
		if s.key.id.Born < k.id.Born {
			g.p.Probe(ProbeClientGone)
			s.rollback("its client was restarted")
		}
	})
	return true
}

// visit calls f with the client's open sessions, which it may end.
func (g *Gateway) visit(c *client, f func(*session)) {
	for e := g.open.Front(); e != nil; {
		s := e.Value.(*session)
		e = e.Next()
		if s.client == c {
			f(s)
		}
	}
}

// closed notes that a connection of a client is over. That may mean that the client is:
// then nobody would miss its sessions, and others wait for its locks. But a connection
// breaks for other reasons too, and a client that lives on makes a new one, with its
// next step.
func (g *Gateway) closed(name string) {
	c := g.clients[name]
	if c == nil {
		return
	}
	c.broke = g.p.Mono()
	if c.timer == 0 {
		c.timer = g.p.After(g.set.grace, "session: client gone?", func() { g.look(c) })
	}
}

// look rolls back the sessions of a client that is not heard of any more. A step that is
// being executed is not given up, since it may be a commit: it is looked at again, or
// what the step has locked would stay locked (scenarios/found/gone-in-a-step).
func (g *Gateway) look(c *client) {
	c.timer = 0
	if c.heard > c.broke {
		return
	}
	if left := c.broke + g.set.grace - g.p.Mono(); left > 0 {
		c.timer = g.p.After(left, "session: client gone?", func() { g.look(c) })
		return
	}
	running := false
	g.visit(c, func(s *session) {
		if running = running || s.running; !s.running {
			g.p.Probe(ProbeClientSilent)
			s.rollback("the connection of its client broke, and the client was not heard of again")
		}
	})
	if running {
		c.timer = g.p.After(g.set.grace, "session: client gone?", func() { g.look(c) })
	}
}

// room makes sure that there is room for one more session: those that have ended are
// forgotten, the oldest first.
func (g *Gateway) room() bool {
	if len(g.sessions) < g.set.max {
		return true
	}
	oldest := g.ended.Front()
	if oldest == nil {
		return false
	}
	oldest.Value.(*session).forget()
	return true
}

// Drain begins no sessions any more, waits a while for those that are open to end, and
// rolls back the rest. It waits no longer than t may.
func (g *Gateway) Drain(t env.Task) {
	g.stopping = true
	if g.open.Len() > 0 {
		g.drained = &env.Promise[struct{}]{}
		_, err := g.drained.Wait(t, "session: drain", g.set.drain)
		if err != nil {
			g.p.Log("sessions are open: %v", err)
		}
	}
	for e := g.open.Front(); e != nil; e = g.open.Front() {
		g.p.Probe(ProbeDrained)
		e.Value.(*session).rollback("the gateway stops")
	}
}

// bind has the task end no later than after the time left.
func bind(p env.Process, t env.Task, left time.Duration) {
	at := p.Mono() + left
	if before := t.SetDeadline(at); before > 0 && before < at {
		t.SetDeadline(before)
	}
}
