package workloads

import (
	"slices"
	"time"

	"simulacrum/sim/env"
)

// moveKind is what one move of a transaction does.
type moveKind uint8

const (
	moveRead moveKind = iota
	moveWrite
	moveCAS
	moveInitPut
	moveDelete
	moveDeleteRange
	moveScan
	moveReverse
	moveLimited
	moveAdd
	moveIncrement
	moveNested // a savepoint with moves of its own
)

var moveNames = [...]string{"read", "write", "cas", "init-put", "delete", "delete-range", "scan", "reverse scan", "limited scan", "add", "increment", "savepoint"}

// String names a move as counts do.
func (k moveKind) String() string { return moveNames[k] }

// move is one step of a transaction as it is drawn.
type move struct {
	kind   moveKind
	at     int // which key of the script
	to     int // of a stretch: the last one
	delta  int64
	lock   Lock
	safe   bool // the lock is replicated
	inner  []move
	undone bool // roll back to the savepoint
}

// course is what one transaction does, drawn before it begins: a client that must
// begin anew does the same again.
type course struct {
	kind   string
	moves  []move
	o      TxnOptions
	pause  time.Duration // between moves on average; 0: none
	vanish int           // before this move the client stops talking; -1: it does not
	away   time.Duration
	goesOn bool // after having been away
}

// Kinds of transactions, as counts name them.
const (
	kindReadWrite = "read-write transaction"
	kindReadOnly  = "read-only transaction"
	kindPast      = "transaction in the past"
	kindLong      = "long transaction"
	kindAlone     = "operation outside of transactions"
	kindShared    = "shared lock"
	kindExclusive = "exclusive lock"
	kindUndone    = "savepoint rolled back"
	kindAtOnce    = "commit with the last write"
	kindLow       = "transaction of low priority"
	kindHigh      = "transaction of high priority"
)

// owedTries is how many courses a client draws in search of one that does something
// which no transaction of the run has done yet.
const owedTries = 12

// draw draws a course; moves come from next, which is told whether the transaction
// may write, and which moves it makes before. Every second client or so looks for a course with something that is still
// owed to the run: short runs through many faults would else often lack a rare kind, and
// say nothing.
func (b *base) draw(c *Client, next func(readOnly bool, before []move) move) course {
	p := b.drawOne(c, next)
	if c.Rand.IntN(2) == 0 {
		return p
	}
	owed := b.owed()
	for n := 0; n < owedTries && len(owed) > 0 && !slices.ContainsFunc(owed, func(kind string) bool { return p.does(kind) }); n++ {
		p = b.drawOne(c, next)
	}
	return p
}

// owed are the kinds that committed transactions must do in this run, and have not.
func (b *base) owed() []string {
	return slices.DeleteFunc(slices.Clone(b.wanted), func(kind string) bool { return b.done[kind] > 0 })
}

// does reports that the course, if it commits, does something of the kind.
func (p *course) does(kind string) bool {
	return p.kind == kind || kind == kindLong && p.pause > 0 || kind == kindLow && p.o.Priority == LowPriority ||
		kind == kindHigh && p.o.Priority == HighPriority || slices.ContainsFunc(p.moves, func(m move) bool { return m.does(kind) })
}

func (m *move) does(kind string) bool {
	switch {
	case m.kind != moveNested:
		return m.kind.String() == kind || m.lock == SharedLock && kind == kindShared || m.lock == ExclusiveLock && kind == kindExclusive
	case m.undone && kind == kindUndone || !m.undone && kind == moveNested.String():
		return true
	}
	return slices.ContainsFunc(m.inner, func(m move) bool { return m.does(kind) })
}

func (b *base) drawOne(c *Client, next func(readOnly bool, before []move) move) course {
	x, r := &b.Txn, c.Rand
	p := course{kind: kindReadWrite, vanish: -1}
	switch n := r.IntN(100); {
	case n < x.Past && len(c.memory) > 0:
		p.kind, p.o.At = kindPast, Timestamp(c.memory[r.IntN(len(c.memory))])
	case n < x.Past+x.ReadOnly:
		p.kind = kindReadOnly
	}
	p.o.Name = p.kind
	readOnly := p.kind != kindReadWrite
	for range 1 + r.IntN(x.Ops) {
		p.moves = append(p.moves, next(readOnly, p.moves))
	}
	if !readOnly && r.IntN(100) < x.Nested {
		p.moves = nest(c, p.moves, func(before []move) move { return next(false, before) }, 0)
	}
	if r.IntN(100) < x.Long {
		p.pause = x.Pause
	}
	p.o.Priority = b.priority(c)
	if r.IntN(1000) < x.Vanish {
		p.vanish, p.away, p.goesOn = r.IntN(len(p.moves)), exponential(r, x.Away), r.IntN(2) == 0
	}
	return p
}

// priority draws the rank of a transaction.
func (b *base) priority(c *Client) Priority {
	x := &b.Txn
	if x.Low+x.High == 0 {
		return NormalPriority
	}
	switch n := c.Rand.IntN(100); {
	case n < x.Low:
		return LowPriority
	case n < x.Low+x.High:
		return HighPriority
	}
	return NormalPriority
}

// again is the place of one of the moves made before, of those that may, to which the
// next one comes back; -1: it goes where it was drawn.
func (b *base) again(c *Client, before []move, may func(moveKind) bool) int {
	if b.Txn.Again == 0 || c.Rand.IntN(100) >= b.Txn.Again {
		return -1
	}
	var places []int
	for i := range before {
		if may(before[i].kind) {
			places = append(places, before[i].at)
		}
	}
	if len(places) == 0 {
		return -1
	}
	return places[c.Rand.IntN(len(places))]
}

// nest puts a savepoint somewhere, with moves of its own and perhaps another
// savepoint within.
func nest(c *Client, moves []move, next func(before []move) move, depth int) []move {
	at := c.Rand.IntN(len(moves) + 1)
	m := move{kind: moveNested, undone: c.Rand.IntN(2) == 0}
	for range 1 + c.Rand.IntN(3) {
		m.inner = append(m.inner, next(append(moves[:at:at], m.inner...)))
	}
	if depth < 2 && c.Rand.IntN(2) == 0 {
		m.inner = nest(c, m.inner, next, depth+1)
	}
	out := append(append([]move{}, moves[:at]...), m)
	return append(out, moves[at:]...)
}

// follow does a transaction along its course. exec does a move, and last what is to
// be done before the commit. Half of the clients send their last write together with
// the commit.
func (b *base) follow(t env.Task, c *Client, p course, exec func(x *transaction, m move) error, last func(x *transaction) error) outcome {
	atOnce := c.Rand.IntN(2) == 0
	return b.transact(t, c, p.o, func(x *transaction) error {
		for i, m := range p.moves {
			if i == p.vanish {
				if err := x.pause(t, p.away); err != nil {
					return err
				}
				if !p.goesOn {
					return errRollback
				}
			}
			if i > 0 && p.pause > 0 {
				if err := x.pause(t, exponential(c.Rand, p.pause)); err != nil {
					return err
				}
			}
			// What last would do after a write to a register is nothing.
			x.last = atOnce && i == len(p.moves)-1 && (last == nil || m.kind == moveWrite) && m.kind != moveNested
			if err := x.move(t, m, exec); err != nil {
				return err
			}
		}
		x.did(p.kind)
		if x.paused {
			x.did(kindLong)
		}
		switch p.o.Priority {
		case LowPriority:
			x.did(kindLow)
		case HighPriority:
			x.did(kindHigh)
		}
		if p.kind != kindReadWrite || last == nil {
			return nil
		}
		return last(x)
	})
}

// move does a move, or all within a savepoint.
func (x *transaction) move(t env.Task, m move, exec func(x *transaction, m move) error) error {
	if m.kind != moveNested {
		err := exec(x, m)
		switch {
		case err != nil:
		case m.lock == SharedLock:
			x.did(kindShared)
		case m.lock == ExclusiveLock:
			x.did(kindExclusive)
		}
		if err == nil {
			x.did(m.kind.String())
		}
		if isCondition(err) {
			return nil
		}
		return err
	}
	s, err := x.savepoint(t)
	if err != nil {
		return err
	}
	for _, inner := range m.inner {
		if err := x.move(t, inner, exec); err != nil {
			return err
		}
	}
	if m.undone {
		return x.rollback(t, s)
	}
	x.did(moveNested.String())
	return nil
}

// lock draws what a read locks. A transaction that only reads locks nothing.
func (b *base) lock(c *Client, readOnly bool) (Lock, bool) {
	n, safe := c.Rand.IntN(100), c.Rand.IntN(2) == 0
	switch {
	case readOnly:
	case n < b.Txn.Shared:
		return SharedLock, safe
	case n < b.Txn.Shared+b.Txn.Exclusive:
		return ExclusiveLock, safe
	}
	return NoLock, false
}

// locked is a step that locks what it reads.
func (m move) locked(s step) step {
	s.op.Lock, s.op.LockReplicated = m.lock, m.lock != NoLock && m.safe
	return s
}
