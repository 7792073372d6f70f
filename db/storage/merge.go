package storage

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"simulacrum/sim/env"
)

// mergeJob says what writeTables merges: a memtable for a flush, or tables for a
// compaction, newest first.
type mergeJob struct {
	mems   []*memtable
	inputs []placedInput
	output int // level; 0 for a flush
}

type placedInput struct {
	level int
	*table
}

// merger writes the tables of a job. Of each key it keeps, for each open snapshot
// and for the present, the newest version that it sees (the sequence numbers
// between two snapshots are a "stripe"; of a stripe only the newest version counts)
// and drops deletions that have nothing left to delete.
//
// A snapshot that is taken while a merger waits stands at or above every sequence
// number of the inputs, and so sees of each key the newest, which is kept.
type merger struct {
	e     *Engine
	t     env.Task
	job   mergeJob
	srcs  []source
	dels  *rangeDels // of the inputs
	keep  rangeDels  // those of them that go on
	snaps []uint64   // ascending
	below int        // first level that may hold older versions than the inputs
	w     *tableWriter
	cut   []byte // where the current table begins; nil for the first
	metas []tableMeta
	bytes int64
	paced int64
}

// writeTables merges the job into tables that are durable but for their directory
// entries. A flush makes at most one table, since level 0 is ordered by time.
func (e *Engine) writeTables(t env.Task, job mergeJob) ([]tableMeta, error) {
	m := &merger{e: e, t: t, job: job, below: job.output + 1}
	if len(job.mems) > 0 {
		m.below = 0
	}
	for s := e.snapshots.next; s != &e.snapshots; s = s.next {
		if n := len(m.snaps); n == 0 || m.snaps[n-1] != s.seq {
			m.snaps = append(m.snaps, s.seq)
		}
	}
	var dels []*rangeDels
	for _, mem := range job.mems {
		m.srcs, dels = append(m.srcs, &memIter{m: mem}), append(dels, &mem.dels)
	}
	for _, in := range job.inputs {
		m.srcs, dels = append(m.srcs, &tableIter{t: in.table, once: true}), append(dels, in.dels)
	}
	m.dels = mergeRangeDels(dels)
	m.thinRangeDels()
	for _, s := range m.srcs {
		s.first()
	}
	var key []byte
	for {
		least, err := m.least()
		if err != nil {
			return nil, err
		}
		if least < 0 {
			break
		}
		key = append(key[:0], m.srcs[least].cur().key...) // outlives its block
		if err := m.key(least, key); err != nil {
			return nil, err
		}
		m.pace()
	}
	err := m.endTable(nil)
	return m.metas, err
}

// least is the newest of the sources that stand at the least key, -1 at the end.
func (m *merger) least() (int, error) {
	least := -1
	for n, s := range m.srcs {
		if err := s.err(); err != nil {
			return -1, err
		}
		if c := s.cur(); c.ok && (least < 0 || bytes.Compare(c.key, m.srcs[least].cur().key) < 0) {
			least = n
		}
	}
	return least, nil
}

// pace charges for the work and lets others run now and then: a merge of many
// megabytes must not be one event.
func (m *merger) pace() {
	const step = 64 << 10
	if m.bytes-m.paced < step {
		return
	}
	m.e.env.Charge(env.ClassByte, m.bytes-m.paced)
	m.paced = m.bytes
	// If the task was cancelled, the merge ends without further pauses.
	_ = m.t.Sleep(time.Microsecond)
}

// stripe numbers the stripe of a sequence number; 0 is the oldest.
func (m *merger) stripe(seq uint64) int {
	n, _ := slices.BinarySearch(m.snaps, seq)
	return n
}

// top is the highest sequence number of a stripe.
func (m *merger) top(stripe int) uint64 {
	if stripe < len(m.snaps) {
		return m.snaps[stripe]
	}
	return maxSeq
}

// thinRangeDels keeps of each fragment the newest deletion of each stripe, and
// drops that of the oldest stripe when nothing older remains below.
func (m *merger) thinRangeDels() {
	for _, f := range m.dels.frags {
		var seqs []uint64
		prev := -1
		for _, s := range f.seqs {
			st := m.stripe(s)
			if st == prev {
				continue
			}
			prev = st
			if st == 0 && !m.e.state.overlaps(m.below, f.lo, f.hi) {
				m.e.env.Probe(ProbeElided)
				continue
			}
			seqs = append(seqs, s)
		}
		if len(seqs) > 0 {
			m.keep.frags = append(m.keep.frags, fragment{lo: f.lo, hi: f.hi, seqs: seqs})
		}
	}
}

// key merges all entries of one user key.
func (m *merger) key(from int, key []byte) error {
	if m.w != nil && m.job.output > 0 && m.w.size() >= m.e.limits.table {
		if err := m.endTable(key); err != nil {
			return err
		}
	}
	prev := -1
	for n := from; n < len(m.srcs); n++ {
		s := m.srcs[n]
		for c := s.cur(); c.ok && bytes.Equal(c.key, key); s.next() {
			m.bytes += int64(len(c.key) + len(c.val) + 8)
			st := m.stripe(c.trailer.seq())
			if st == prev {
				continue // shadowed by a newer one that the same readers see
			}
			prev = st
			if m.dels.cover(key, m.top(st)) > c.trailer.seq() {
				continue
			}
			if c.trailer.kind() == kindDelete && st == 0 && !m.e.state.overlaps(m.below, key, append(bytes.Clone(key), 0)) {
				continue
			}
			if m.w == nil {
				w, err := m.e.newTable()
				if err != nil {
					return err
				}
				m.w = w
			}
			if err := m.w.add(key, c.val, c.trailer); err != nil {
				return err
			}
		}
	}
	return nil
}

// endTable finishes the current table with the range deletions up to end, where the
// next table begins; nil for the last. All versions of a key are in one table, and
// range deletions are cut at its borders, so that the tables of a level are disjoint.
func (m *merger) endTable(end []byte) error {
	frags := m.keep.clip(m.cut, end)
	m.cut = bytes.Clone(end)
	if m.w == nil {
		if len(frags) == 0 {
			return nil
		}
		w, err := m.e.newTable()
		if err != nil {
			return err
		}
		m.w = w
	}
	meta, err := m.w.finish(frags)
	m.w = nil
	if err != nil {
		return err
	}
	m.metas = append(m.metas, meta)
	return nil
}

// addTables opens new tables and returns the levels with them added.
func (e *Engine) addTables(levels [numLevels][]*table, level int, metas []tableMeta) ([numLevels][]*table, error) {
	tables := slices.Clone(levels[level])
	for _, meta := range metas {
		t, err := openTable(e.fs, e.path(tableName(meta.num)), meta, e.cache)
		if err != nil {
			return levels, fmt.Errorf("storage: a table just written: %w", err)
		}
		e.env.Memory(t.held)
		tables = append(tables, t)
	}
	slices.SortFunc(tables, func(a, b *table) int {
		if tableLess(level, &a.tableMeta, &b.tableMeta) {
			return -1
		}
		return 1
	})
	levels[level] = tables
	return levels, nil
}
