package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options changes how an engine works. The zero value is the ordinary one.
type Options struct {
	// NoCompaction leaves tables where flushes put them, for tests and tools that
	// compact by hand.
	NoCompaction bool
}

// Engine is one store, in one directory, of one incarnation of a process.
type Engine struct {
	env     env.Env
	fs      vfs.FS
	dir     string
	opts    Options
	limits  limits
	heights *rand.Rand // of memtable towers

	seq       uint64 // of the last commit
	mem       *memtable
	state     *state
	snapshots Snapshot // ring, oldest first after it
	openIters int
	cache     *blockCache
	writer    *tableWriter // one that has finished, to be used again

	// Where front stands. It keeps them here to allocate nothing.
	frontMem   memIter
	frontTable tableIter

	wal          wal
	logs         []uint64 // log files that exist or will, oldest first
	manifest     manifest
	manifestTurn env.Semaphore
	nextFile     uint64

	flusher   env.Task
	compactor env.Task
	cursors   [numLevels][]byte // where the next compaction of a level begins
	waiting   []env.Task        // for a flush or compaction to end
	closing   bool
	closed    bool
	wantAll   bool // somebody asked for a full compaction

	syncs, flushes, compactions int64
	flushedBytes, compactBytes  int64
}

// Open opens the store in dir, or makes one. It replays the log into tables, so
// that what Open shows is durable. An error names the file, and says at which
// offset durable bytes are damaged (CorruptionError).
func Open(t env.Task, e env.Env, dir string, o Options) (*Engine, error) {
	s := &Engine{
		env: e, fs: e.FS(), dir: dir, opts: o, limits: readLimits(e),
		heights: e.Rand("memtable"), manifestTurn: env.Semaphore{Free: 1}, nextFile: 1,
	}
	s.snapshots.prev, s.snapshots.next = &s.snapshots, &s.snapshots
	s.cache = newBlockCache(s.limits.cache, e.Memory)
	s.wal.e = s
	if err := s.recover(t); err != nil {
		s.abandon()
		return nil, err
	}
	s.wal.task = e.Go("storage: log", s.wal.run)
	s.flusher = e.Go("storage: flush", s.runFlush)
	s.compactor = e.Go("storage: compaction", s.runCompaction)
	return s, nil
}

func (e *Engine) path(name string) string { return e.fs.PathJoin(e.dir, name) }

// newFile takes the next file number.
func (e *Engine) newFile() uint64 {
	e.nextFile++
	return e.nextFile - 1
}

// NewBatch returns an empty batch.
func (e *Engine) NewBatch() *Batch { return &Batch{} }

// Commit applies b, which every later read sees, and queues its record for the
// log. It never waits. When sync is true, done (may be nil) is called once the
// record and all before it are durable; otherwise at once. done must not wait. The
// batch is the caller's again when Commit returns.
//
// Commit of an empty batch with sync is a barrier: done is called when everything
// committed before is durable.
func (e *Engine) Commit(b *Batch, sync bool, done func()) {
	if e.closing {
		panic("storage: Commit after Close")
	}
	if n := b.Len(); n > 0 {
		if b.Size() > maxRecord {
			panic(fmt.Sprintf("storage: batch of %d bytes", b.Size()))
		}
		if e.mem.used()+2*int64(b.Size()) > 1<<31 && !e.mem.empty() {
			e.rotate() // positions in a memtable have 32 bits
		}
		base := e.seq + 1
		e.seq += uint64(n)
		e.wal.append(b.data, base, e.seq)
		e.mem.apply(b.data, base, e.unread)
		e.env.Charge(env.ClassKey, int64(n))
		e.env.Charge(env.ClassByte, int64(b.Size()))
		e.account(e.mem)
		if e.mem.used() >= e.limits.memtable {
			e.rotate()
		} else if e.wal.off >= e.limits.logFile {
			e.logs = append(e.logs, e.wal.rotate())
		}
	}
	if sync {
		e.wal.wait(e.seq, done, true)
	} else if done != nil {
		done()
	}
}

// unread reports that no reader stands at seq or later: what a later commit covers
// need not be kept for anyone.
func (e *Engine) unread(seq uint64) bool {
	return e.openIters == 0 && (e.snapshots.prev == &e.snapshots || e.snapshots.prev.seq < seq)
}

func (e *Engine) account(m *memtable) {
	if held := m.held(); held != m.accounted {
		e.env.Memory(held - m.accounted)
		m.accounted = held
	}
}

// rotate sets the memtable aside to be flushed and starts a new one, whose records
// begin a new log file.
func (e *Engine) rotate() {
	log := e.wal.rotate()
	e.logs = append(e.logs, log)
	full := e.mem
	e.mem = newMemtable(e.heights, log, e.seq)
	e.mem.reserve(full)
	s := &state{mems: append([]*memtable{e.mem}, e.state.mems...), levels: e.state.levels}
	e.install(s)
	e.account(e.mem)
	if e.flusher != nil {
		e.flusher.Wake()
	}
}

// Seq is the sequence number of the last commit: the number of operations ever
// committed.
func (e *Engine) Seq() uint64 { return e.seq }

// DurableSeq is the sequence number up to which everything survives a power loss.
func (e *Engine) DurableSeq() uint64 { return e.wal.durable }

// OnDurable calls fn once, later, when everything up to seq is durable. It asks
// for no sync: see Commit of an empty batch.
func (e *Engine) OnDurable(seq uint64, fn func()) { e.wal.wait(seq, fn, false) }

// Get implements Reader.
func (e *Engine) Get(k []byte) ([]byte, bool, error) { return e.get(nil, e.seq, k) }

// NewIter implements Reader.
func (e *Engine) NewIter(lo, hi []byte) *Iter { return e.newIter(e.state, nil, e.seq, lo, hi) }

// Front implements Reader.
func (e *Engine) Front(lo, hi []byte) (k, v []byte, ok bool, err error) {
	return e.front(nil, e.seq, lo, hi)
}

// get looks through the sources from newest to oldest, and stops at the first that
// knows the key: older ones only have older entries of it.
func (e *Engine) get(extra *memtable, seq uint64, k []byte) ([]byte, bool, error) {
	e.env.Charge(env.ClassKey, 1)
	s := e.state
	if extra != nil {
		if v, found, ok := getMem(extra, k, seq); found {
			return v, ok, nil
		}
	}
	for _, m := range s.mems {
		if v, found, ok := getMem(m, k, seq); found {
			return v, ok, nil
		}
	}
	for _, t := range s.levels[0] {
		if v, found, ok, err := getTable(t, k, seq); found || err != nil {
			return v, ok, err
		}
	}
	for n := 1; n < numLevels; n++ {
		tables := s.levels[n]
		if i := findTable(tables, k); i < len(tables) {
			if v, found, ok, err := getTable(tables[i], k, seq); found || err != nil {
				return v, ok, err
			}
		}
	}
	return nil, false, nil
}

// getMem looks for k in one source: found says that the source decides, ok that
// there is a value.
func getMem(m *memtable, k []byte, seq uint64) (v []byte, found, ok bool) {
	v, t, hit := m.get(k, seq)
	return decide(v, t, hit, m.dels.cover(k, seq))
}

func getTable(tb *table, k []byte, seq uint64) (v []byte, found, ok bool, err error) {
	if !tb.contains(k) {
		return nil, false, false, nil
	}
	v, t, hit, err := tb.get(k, seq)
	if err != nil {
		return nil, false, false, err
	}
	v, found, ok = decide(v, t, hit, tb.dels.cover(k, seq))
	return v, found, ok, nil
}

func decide(v []byte, t trailer, hit bool, cover uint64) ([]byte, bool, bool) {
	if !hit {
		return nil, cover > 0, false
	}
	if t.kind() != kindPut || cover > t.seq() {
		return nil, true, false
	}
	return v, true, true
}

// Close flushes, ends the engine's tasks and closes its files. Iterators must have
// been closed before. The error is that of the wait, if the task was cancelled.
func (e *Engine) Close(t env.Task) error {
	if e.closing || e.closed {
		return errors.New("storage: closed twice")
	}
	if err := e.Flush(t); err != nil {
		return err
	}
	if e.closing { // by another task, while this one flushed
		return errors.New("storage: closed twice")
	}
	e.closing, e.wal.finish = true, true
	for _, task := range []env.Task{e.flusher, e.compactor, e.wal.task} {
		task.Wake()
	}
	// The tasks wake whoever waits here as the last thing they do.
	if err := e.await(t, func() bool { return e.flusher == nil && e.compactor == nil && e.wal.task == nil }); err != nil {
		return err
	}
	e.closed = true
	e.abandon()
	return nil
}

// abandon closes all files and gives the memory back.
func (e *Engine) abandon() {
	if e.state != nil {
		e.release(e.state)
		e.state = nil
	}
	e.cache.drop()
	if e.manifest.f != nil {
		e.manifest.f.Close()
		e.manifest.f = nil
	}
}

// await parks t until ready, which flushes and compactions may make true.
func (e *Engine) await(t env.Task, ready func() bool) error {
	for !ready() {
		e.waiting = append(e.waiting, t)
		if err := t.Park("storage: waiting for background work", -1); err != nil {
			return err
		}
	}
	return nil
}

// announce wakes those in await.
func (e *Engine) announce() {
	for _, t := range e.waiting {
		t.Wake()
	}
	e.waiting = e.waiting[:0]
}

// Backlog is the number of memtables that wait to be flushed and of tables that
// wait in level 0. Whoever admits writes should slow down when it grows: Commit
// itself never waits.
func (e *Engine) Backlog() (memtables, tables int) {
	return len(e.state.mems) - 1, len(e.state.levels[0])
}

// Metrics is what an engine has done and holds.
type Metrics struct {
	Syncs, Flushes, Compactions int64
	FlushedBytes, CompactBytes  int64 // written
	Levels                      [numLevels]struct {
		Tables int
		Bytes  int64
	}
	Memtables     int
	MemtableBytes int64
	LogBytes      int64 // in the current log file
}

// Metrics returns the present figures.
func (e *Engine) Metrics() Metrics {
	m := Metrics{Syncs: e.syncs, Flushes: e.flushes, Compactions: e.compactions,
		FlushedBytes: e.flushedBytes, CompactBytes: e.compactBytes, Memtables: len(e.state.mems), LogBytes: e.wal.off}
	for n, tables := range e.state.levels {
		for _, t := range tables {
			m.Levels[n].Tables++
			m.Levels[n].Bytes += t.size
		}
	}
	for _, mem := range e.state.mems {
		m.MemtableBytes += mem.used()
	}
	return m
}

// String shows sequence numbers, memtables and levels, for people.
func (e *Engine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seq %d, durable %d, next file %d\n", e.seq, e.wal.durable, e.nextFile)
	for _, m := range e.state.mems {
		fmt.Fprintf(&b, "memtable (%d,%d] log %d: %d entries, %d range deletions, %d bytes\n",
			m.prevSeq, m.lastSeq, m.log, m.entries, len(m.dels.frags), m.used())
	}
	for n, tables := range e.state.levels {
		for _, t := range tables {
			fmt.Fprintf(&b, "L%d %s [%q,%q) seq %d..%d: %d entries, %d deletes, %d range deletions, %d bytes\n",
				n, tableName(t.num), t.lo, t.hi, t.minSeq, t.maxSeq, t.entries, t.deletes, t.rangeDels, t.size)
		}
	}
	return b.String()
}

// remove deletes a file of the store that nothing refers to. That the removal is
// not synced is no harm: a file that comes back is removed again by Open.
func (e *Engine) remove(name string) {
	if err := e.fs.Remove(e.path(name)); err != nil {
		e.env.Fatal(fmt.Errorf("storage: remove %s: %w", name, err))
	}
	e.env.Probe(ProbeFileRemoved)
}

// removeOldLogs removes the log files that the manifest no longer needs, except
// one that the log task still has open or has not come to.
func (e *Engine) removeOldLogs() {
	for len(e.logs) > 1 && e.logs[0] < e.manifest.l.log && e.logs[0] < e.wal.open {
		n := e.logs[0]
		e.logs = e.logs[1:]
		e.remove(logName(n))
	}
}
