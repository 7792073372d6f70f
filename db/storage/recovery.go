package storage

import (
	"fmt"
	"slices"

	"simulacrum/sim/env"
)

// recover brings the directory from whatever a crash left to a store without a
// log: manifest, then log replayed into tables of level 0, then a new manifest that
// names them and the number of the first log to come. Only after that are old files
// removed and may a new log be created; so a crash at any point of a recovery finds
// the same logs again, and a torn log is always the newest.
//
// A manifest is written anew even when nothing was replayed: what was read may be
// an unsynced write of an incarnation that was killed, which the machine's page
// cache has kept so far.
func (e *Engine) recover(t env.Task) error {
	if err := e.fs.MkdirAll(e.dir, 0o755); err != nil {
		return fmt.Errorf("storage: make %s: %w", e.dir, err)
	}
	names, err := e.fs.List(e.dir)
	if err != nil {
		return fmt.Errorf("storage: list %s: %w", e.dir, err)
	}
	slices.Sort(names)
	l, _, found, err := readManifest(e.fs, e.dir, names)
	if err != nil {
		return err
	}
	var logs []uint64
	for _, name := range names {
		k, n := parseName(name)
		e.nextFile = max(e.nextFile, n+1)
		if k == fileLog && n >= l.log {
			logs = append(logs, n)
		}
		if !found && (k == fileLog || k == fileTable) {
			return &CorruptionError{e.path(name), 0, "there is data, but no CURRENT"}
		}
	}
	slices.Sort(logs)
	e.nextFile = max(e.nextFile, l.nextFile)
	if !found {
		if err := e.syncParents(); err != nil {
			return err
		}
	}
	if err := e.openTables(&l); err != nil {
		return err
	}
	return e.replayLogs(t, l, logs, names)
}

// syncParents makes the directory's own entry durable, and those above it.
func (e *Engine) syncParents() error {
	for dir := e.dir; ; {
		up := e.fs.PathDir(dir)
		if up == dir {
			return nil
		}
		if err := e.syncDir(up); err != nil {
			return fmt.Errorf("storage: sync %s: %w", up, err)
		}
		dir = up
	}
}

// syncDir makes the entries of a directory durable. It opens the directory anew,
// because a handle must not be synced by two tasks at a time.
func (e *Engine) syncDir(dir string) error {
	d, err := e.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// openTables opens every table of the layout, and makes them the state.
func (e *Engine) openTables(l *layout) error {
	e.seq = l.seq
	e.mem = newMemtable(e.heights, 0, e.seq)
	s := &state{mems: []*memtable{e.mem}}
	e.install(s)
	for n, metas := range l.levels {
		for _, meta := range metas {
			t, err := openTable(e.fs, e.path(tableName(meta.num)), meta, e.cache)
			if err != nil {
				return err
			}
			t.refs = 1
			e.env.Memory(t.held)
			s.levels[n] = append(s.levels[n], t)
		}
	}
	return nil
}

// replayLogs reads the logs, writes what they hold to level 0, and switches to a
// new manifest.
func (e *Engine) replayLogs(t env.Task, l layout, logs []uint64, names []string) error {
	ed := &edit{}
	for i, n := range logs {
		name := e.path(logName(n))
		b, err := readFile(e.fs, name)
		if err != nil {
			return fmt.Errorf("storage: read %s: %w", name, err)
		}
		e.env.Memory(int64(len(b)))
		last := i == len(logs)-1
		seq, torn, err := replay(name, n, b, e.seq, last, func(repr []byte, base uint64, n int) error {
			e.mem.apply(repr, base, nil)
			e.account(e.mem)
			e.seq += uint64(n)
			e.env.Charge(env.ClassKey, int64(n))
			if e.mem.used() < e.limits.memtable {
				return nil
			}
			return e.flushReplayed(t, ed)
		})
		e.env.Memory(-int64(len(b)))
		if err != nil {
			return err
		}
		if torn {
			e.env.Probe(ProbeTornTail)
		}
		if seq != e.seq {
			panic(fmt.Sprintf("storage: replayed to %d, but the commits end at %d", seq, e.seq))
		}
	}
	e.env.Probe(ProbeReplayed)
	if err := e.flushReplayed(t, ed); err != nil {
		return err
	}
	if len(ed.added) > 0 {
		if err := e.syncDir(e.dir); err != nil {
			return fmt.Errorf("storage: sync %s: %w", e.dir, err)
		}
	}
	e.mem.log = e.wal.rotate()
	e.logs = []uint64{e.mem.log}
	ed.log, ed.seq, ed.nextFile = e.mem.log, e.seq, e.nextFile
	if err := l.apply(ed); err != nil {
		return fmt.Errorf("storage: after replay: %w", err)
	}
	if err := e.newManifest(l); err != nil {
		return err
	}
	e.env.Probe(ProbeManifestSynced)
	e.wal.durable, e.wal.writtenSeq = e.seq, e.seq
	e.removeUnknown(names)
	return nil
}

// flushReplayed writes the memtable to level 0 and starts a new one.
func (e *Engine) flushReplayed(t env.Task, ed *edit) error {
	old := e.mem
	if old.empty() {
		return nil
	}
	metas, err := e.writeTables(t, mergeJob{mems: []*memtable{old}})
	if err != nil {
		return err
	}
	s := &state{levels: e.state.levels}
	if s.levels, err = e.addTables(s.levels, 0, metas); err != nil {
		return err
	}
	for _, m := range metas {
		ed.added = append(ed.added, placedTable{0, m})
	}
	e.mem = newMemtable(e.heights, 0, e.seq)
	s.mems = []*memtable{e.mem}
	e.install(s)
	return nil
}

// removeUnknown removes every file of ours that the new layout does not need:
// replayed logs, the former manifest, tables that were never added.
func (e *Engine) removeUnknown(names []string) {
	known := map[uint64]bool{e.manifest.num: true}
	for _, tables := range e.state.levels {
		for _, t := range tables {
			known[t.num] = true
		}
	}
	for _, name := range names {
		// A left-over CURRENT.tmp was overwritten and renamed by newManifest.
		if k, n := parseName(name); k != fileOther && k != fileTemp && !known[n] {
			e.remove(name)
		}
	}
}
