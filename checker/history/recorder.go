package history

// History is all operations of a run, ordered by ID, which is the order of
// their calls. Checkers read it and never change it.
type History struct {
	Ops []Op
}

// chunk is how many operations the recorder allocates at once: pointers given
// to clients stay valid while the history grows, without one allocation an
// operation.
const chunk = 512

// Recorder collects a history while it happens. It belongs to one simulation,
// where one task runs at a time, and so needs no lock. Calls come in the order
// of virtual time.
type Recorder struct {
	// Told, if not nil, is told of each operation that begins or ends, as "begins" or
	// "ends" and the operation. A trace finds an operation's events by that.
	Told   func(what string, op *Op)
	chunks [][]Op
	n      int
	open   int
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder { return &Recorder{} }

// Invoke records that a client begins an operation now (true virtual ns). The
// actions are kept and may be given results by their client before Complete.
// Until then the operation is Info without a Return.
func (r *Recorder) Invoke(client, gateway string, now int64, actions ...Action) *Op {
	if r.n%chunk == 0 {
		r.chunks = append(r.chunks, make([]Op, 0, chunk))
	}
	last := &r.chunks[len(r.chunks)-1]
	*last = append(*last, Op{ID: r.n, Client: client, Gateway: gateway, Call: now, Return: Never, Actions: actions})
	r.n++
	r.open++
	op := &(*last)[len(*last)-1]
	if r.Told != nil {
		r.Told("begins", op)
	}
	return op
}

// Complete records the answer that a client got now. The client has put what it
// saw into op.Actions[i].Result before. Completing twice is a bug of the
// workload, and panics. An error text goes with Fail and Info; ts is what the
// database reported, or zero.
func (r *Recorder) Complete(op *Op, now int64, outcome Outcome, err string, ts Timestamp) {
	if op.Return != Never {
		panic("history: operation completed twice: " + op.String())
	}
	op.Return, op.Outcome, op.Err, op.TS = now, outcome, err, ts
	r.open--
	if r.Told != nil {
		r.Told("ends", op)
	}
}

// Open is the number of operations without an answer, those of clients that died
// included.
func (r *Recorder) Open() int { return r.open }

// Len is the number of operations invoked so far.
func (r *Recorder) Len() int { return r.n }

// History returns what was recorded so far. Operations are copied, their
// actions shared: ask at the end of the run.
func (r *Recorder) History() *History {
	h := &History{Ops: make([]Op, 0, r.n)}
	for _, c := range r.chunks {
		h.Ops = append(h.Ops, c...)
	}
	return h
}
