package storage

import (
	"fmt"
	"slices"

	"simulacrum/sim/env"
)

// runFlush is the flush task: memtables that are full become tables of level 0,
// oldest first.
func (e *Engine) runFlush(t env.Task) {
	for {
		if len(e.state.mems) > 1 {
			if err := e.flushOldest(t); err != nil {
				e.env.Fatal(err)
			}
			e.compactor.Wake()
			e.announce()
			continue
		}
		if e.closing {
			break
		}
		if err := t.Park("storage: nothing to flush", -1); err != nil {
			e.env.Fatal(fmt.Errorf("storage: flush task: %w", err))
		}
	}
	e.flusher = nil
	e.announce()
}

// flushOldest writes the oldest memtable. The order is what makes a crash harmless:
// the table and its directory entry are durable before the manifest names it, and
// the manifest is durable before the log that held the same commits is removed.
func (e *Engine) flushOldest(t env.Task) error {
	m := e.state.mems[len(e.state.mems)-1]
	metas, err := e.writeTables(t, mergeJob{mems: []*memtable{m}})
	if err != nil {
		return err
	}
	ed := &edit{seq: m.lastSeq}
	for _, meta := range metas {
		ed.added = append(ed.added, placedTable{0, meta})
		e.flushedBytes += meta.size
	}
	e.flushes++
	e.env.Probe(ProbeTableWritten)
	err = e.switchTo(t, ed, func() error {
		mems := e.state.mems[:len(e.state.mems)-1]
		levels, err := e.addTables(e.state.levels, 0, metas)
		if err == nil {
			e.install(&state{mems: slices.Clone(mems), levels: levels})
		}
		return err
	})
	if err != nil {
		return err
	}
	e.removeOldLogs()
	e.wal.setDurable(m.lastSeq)
	return nil
}

// switchTo makes an edit durable and then, in the same turn, the state follow it.
func (e *Engine) switchTo(t env.Task, ed *edit, install func() error) error {
	if len(ed.added) > 0 {
		if err := e.syncDir(e.dir); err != nil {
			return fmt.Errorf("storage: sync %s: %w", e.dir, err)
		}
	}
	t.Yield("storage: tables written, before manifest")
	if err := e.manifestTurn.Acquire(t, "storage: manifest", -1); err != nil {
		return err
	}
	defer e.manifestTurn.Release()
	l := &e.manifest.l
	ed.log = l.log
	if ed.seq > l.seq {
		// A flush: what follows it is in the next memtable, and so in its log.
		ed.log = e.state.mems[len(e.state.mems)-2].log
	}
	ed.seq = max(ed.seq, l.seq)
	if err := e.logEdit(ed); err != nil {
		return err
	}
	e.env.Probe(ProbeManifestSynced)
	return install()
}

// Flush writes everything committed so far to tables and waits for it.
func (e *Engine) Flush(t env.Task) error {
	if !e.mem.empty() {
		e.rotate()
	}
	upTo := e.mem
	return e.await(t, func() bool { return e.state.mems[len(e.state.mems)-1] == upTo || upTo.refs == 0 })
}

// Compact flushes, merges all tables into the last level and waits for it.
func (e *Engine) Compact(t env.Task) error {
	if err := e.Flush(t); err != nil {
		return err
	}
	e.wantAll = true
	e.compactor.Wake()
	return e.await(t, func() bool { return !e.wantAll })
}

// runCompaction is the compaction task: one job at a time.
func (e *Engine) runCompaction(t env.Task) {
	for !e.closing {
		job, ok := e.pick()
		if !ok {
			e.announce()
			if err := t.Park("storage: nothing to compact", -1); err != nil {
				e.env.Fatal(fmt.Errorf("storage: compaction task: %w", err))
			}
			continue
		}
		if err := e.compact(t, job); err != nil {
			e.env.Fatal(err)
		}
	}
	e.compactor = nil
	e.announce()
}

func (e *Engine) compact(t env.Task, job mergeJob) error {
	metas, err := e.writeTables(t, job)
	if err != nil {
		return err
	}
	ed := &edit{}
	for _, in := range job.inputs {
		ed.removed = append(ed.removed, placedTable{in.level, tableMeta{num: in.num}})
	}
	for _, meta := range metas {
		ed.added = append(ed.added, placedTable{job.output, meta})
		e.compactBytes += meta.size
	}
	e.compactions++
	e.env.Probe(ProbeCompacted)
	return e.switchTo(t, ed, func() error {
		levels := e.state.levels
		for _, in := range job.inputs {
			in.gone = true
			levels[in.level] = slices.DeleteFunc(slices.Clone(levels[in.level]),
				func(t *table) bool { return t == in.table })
		}
		levels, err := e.addTables(levels, job.output, metas)
		if err == nil {
			e.install(&state{mems: e.state.mems, levels: levels})
		}
		return err
	})
}

// pick chooses the next compaction: a level 0 with too many tables, then the upper
// of the levels that are too large, then tables of little but deletions, which
// would otherwise keep what they delete on the disk for as long as nothing pushes
// them down.
func (e *Engine) pick() (mergeJob, bool) {
	s := e.state
	if e.wantAll {
		var job mergeJob
		for n, tables := range s.levels {
			job.add(n, tables)
		}
		job.output = numLevels - 1
		e.wantAll = len(job.inputs) > len(s.levels[job.output])
		if e.wantAll {
			return job, true
		}
	}
	if e.opts.NoCompaction {
		return mergeJob{}, false
	}
	if len(s.levels[0]) >= e.limits.level0 {
		return pickInto(s, 0, s.levels[0]), true
	}
	limit := e.limits.levelBase
	for n := 1; n < numLevels-1; n++ {
		var size int64
		for _, t := range s.levels[n] {
			size += t.size
		}
		if size > limit {
			t := e.nextInTurn(n)
			return pickInto(s, n, []*table{t}), true
		}
		limit = min(limit*e.limits.levelGrow, 1<<50)
	}
	for n := 1; n < numLevels-1; n++ {
		for _, t := range s.levels[n] {
			if t.rangeDels == 0 && t.deletes*2 < t.entries || !e.unpinned(t.maxSeq) {
				continue
			}
			return pickInto(s, n, []*table{t}), true
		}
	}
	return mergeJob{}, false
}

// unpinned reports that no snapshot stands below seq.
func (e *Engine) unpinned(seq uint64) bool {
	first := e.snapshots.next
	return first == &e.snapshots || first.seq >= seq
}

// nextInTurn goes round the tables of a level, so that all its keys get their turn.
func (e *Engine) nextInTurn(level int) *table {
	tables := e.state.levels[level]
	t := tables[0]
	if i := findTable(tables, e.cursors[level]); i < len(tables) {
		t = tables[i]
	}
	e.cursors[level] = t.hi
	return t
}

func (j *mergeJob) add(level int, tables []*table) {
	for _, t := range tables {
		j.inputs = append(j.inputs, placedInput{level, t})
	}
}

// pickInto merges tables of level n with all of the next that they overlap.
func pickInto(s *state, n int, tables []*table) mergeJob {
	job := mergeJob{output: n + 1}
	job.add(n, tables)
	lo, hi := tables[0].lo, tables[0].hi
	for _, t := range tables {
		if string(t.lo) < string(lo) {
			lo = t.lo
		}
		if string(t.hi) > string(hi) {
			hi = t.hi
		}
	}
	job.add(n+1, overlapping(n+1, s.levels[n+1], lo, hi))
	return job
}
