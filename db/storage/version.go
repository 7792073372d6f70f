package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// numLevels counts level 0, whose tables may overlap, and those below, each of
// which is one sorted run.
const numLevels = 7

// layout is what the manifest describes: which tables make up the store, and where
// the log goes on from there.
type layout struct {
	levels [numLevels][]tableMeta
	// log is the first log file that holds anything that no table holds, and
	// seq the sequence number of the last commit that is in tables.
	log, seq uint64
	nextFile uint64 // above every file number ever used
}

// edit is one step from a layout to the next. The first edit of a manifest starts
// from the empty layout.
type edit struct {
	log, seq, nextFile uint64
	removed            []placedTable // level and number only
	added              []placedTable
}

type placedTable struct {
	level int
	tableMeta
}

func (e *edit) encode(b []byte) []byte {
	for _, u := range []uint64{e.log, e.seq, e.nextFile, uint64(len(e.removed))} {
		b = binary.AppendUvarint(b, u)
	}
	for _, t := range e.removed {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(t.level)), t.num)
	}
	b = binary.AppendUvarint(b, uint64(len(e.added)))
	for _, t := range e.added {
		for _, u := range []uint64{uint64(t.level), t.num, uint64(t.size), t.minSeq, t.maxSeq,
			t.entries, t.deletes, t.rangeDels} {
			b = binary.AppendUvarint(b, u)
		}
		b = appendBytes(appendBytes(b, t.lo), t.hi)
	}
	return b
}

var errEdit = errors.New("malformed manifest edit")

// decode is the inverse of encode. The edit shares b's memory.
func (e *edit) decode(b []byte) error {
	bad := false
	uv := func() uint64 {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return u
	}
	level := func() int {
		l := uv()
		if l >= numLevels {
			bad = true
			return 0
		}
		return int(l)
	}
	str := func() []byte {
		s, rest, ok := cutBytes(b)
		if !ok {
			bad = true
		}
		b = rest
		return s
	}
	*e = edit{log: uv(), seq: uv(), nextFile: uv()}
	for n := uv(); n > 0 && !bad; n-- {
		t := placedTable{level: level()}
		t.num = uv()
		e.removed = append(e.removed, t)
	}
	for n := uv(); n > 0 && !bad; n-- {
		t := placedTable{level: level()}
		t.num, t.size, t.minSeq, t.maxSeq = uv(), int64(uv()), uv(), uv()
		t.entries, t.deletes, t.rangeDels = uv(), uv(), uv()
		t.lo, t.hi = str(), str()
		bad = bad || bytes.Compare(t.lo, t.hi) >= 0 || t.size < 0
		e.added = append(e.added, t)
	}
	if bad || len(b) > 0 {
		return errEdit
	}
	return nil
}

// apply changes l by e, or returns why the two do not fit.
func (l *layout) apply(e *edit) error {
	if e.log < l.log || e.seq < l.seq || e.nextFile < l.nextFile {
		return fmt.Errorf("%w: log %d, sequence %d, file %d go back", errEdit, e.log, e.seq, e.nextFile)
	}
	l.log, l.seq, l.nextFile = e.log, e.seq, e.nextFile
	for _, r := range e.removed {
		i := slices.IndexFunc(l.levels[r.level], func(t tableMeta) bool { return t.num == r.num })
		if i < 0 {
			return fmt.Errorf("%w: table %d is not in level %d", errEdit, r.num, r.level)
		}
		l.levels[r.level] = slices.Delete(slices.Clone(l.levels[r.level]), i, i+1)
	}
	for _, a := range e.added {
		if a.num >= l.nextFile {
			return fmt.Errorf("%w: table %d is above %d", errEdit, a.num, l.nextFile)
		}
		l.levels[a.level] = append(slices.Clone(l.levels[a.level]), a.tableMeta)
	}
	return l.check()
}

// check sorts the levels and verifies that they are sorted runs.
func (l *layout) check() error {
	seen := map[uint64]bool{}
	for n := range l.levels {
		tables := l.levels[n]
		sort.Slice(tables, func(i, j int) bool { return tableLess(n, &tables[i], &tables[j]) })
		for i, t := range tables {
			if seen[t.num] {
				return fmt.Errorf("%w: table %d is there twice", errEdit, t.num)
			}
			seen[t.num] = true
			if n > 0 && i > 0 && bytes.Compare(tables[i-1].hi, t.lo) > 0 {
				return fmt.Errorf("%w: tables %d and %d of level %d overlap", errEdit, tables[i-1].num, t.num, n)
			}
		}
	}
	return nil
}

// tableLess orders level 0 from newest to oldest and the others by key.
func tableLess(level int, a, b *tableMeta) bool {
	if level == 0 {
		if a.maxSeq != b.maxSeq {
			return a.maxSeq > b.maxSeq
		}
		return a.num > b.num
	}
	return bytes.Compare(a.lo, b.lo) < 0
}

// snapshot is the edit that makes l out of nothing.
func (l *layout) snapshot() *edit {
	e := &edit{log: l.log, seq: l.seq, nextFile: l.nextFile}
	for n, tables := range l.levels {
		for _, t := range tables {
			e.added = append(e.added, placedTable{n, t})
		}
	}
	return e
}

// state is everything that a read looks at, newest first. It never changes; a
// flush or compaction replaces it. Whoever reads across events holds a reference,
// and files and memtables that only old states list are released with the last.
type state struct {
	mems   []*memtable // mems[0] takes the commits
	levels [numLevels][]*table
	refs   int
}

// install makes s the state that reads use.
func (e *Engine) install(s *state) {
	s.refs = 1
	for _, m := range s.mems {
		m.refs++
	}
	for _, tables := range s.levels {
		for _, t := range tables {
			t.refs++
		}
	}
	old := e.state
	e.state = s
	if old != nil {
		e.release(old)
	}
}

// release gives a reference to s back.
func (e *Engine) release(s *state) {
	if s.refs--; s.refs > 0 {
		return
	}
	for _, m := range s.mems {
		if m.refs--; m.refs == 0 {
			e.env.Memory(-m.accounted)
			m.accounted = 0
		}
	}
	for _, tables := range s.levels {
		for _, t := range tables {
			if t.refs--; t.refs == 0 {
				e.closeTable(t)
			}
		}
	}
}

// closeTable closes a table that nobody reads any more, and removes its file when
// the manifest does not list it either.
func (e *Engine) closeTable(t *table) {
	e.env.Memory(-t.held)
	t.held = 0
	if err := t.f.Close(); err != nil {
		e.env.Fatal(fmt.Errorf("storage: close %s: %w", t.name, err))
	}
	if t.gone {
		e.remove(tableName(t.num))
	}
}

// levelsOf turns the tables of a state into a layout's.
func levelsOf(s *state) (levels [numLevels][]tableMeta) {
	for n, tables := range s.levels {
		for _, t := range tables {
			levels[n] = append(levels[n], t.tableMeta)
		}
	}
	return levels
}

// overlaps reports whether a table of the levels from first on may hold something
// in [lo, hi).
func (s *state) overlaps(first int, lo, hi []byte) bool {
	for n := first; n < numLevels; n++ {
		if len(overlapping(n, s.levels[n], lo, hi)) > 0 {
			return true
		}
	}
	return false
}

// overlapping lists the tables of one level that may hold something in [lo, hi).
func overlapping(level int, tables []*table, lo, hi []byte) []*table {
	if level > 0 {
		from := findTable(tables, lo)
		to := from
		for to < len(tables) && bytes.Compare(tables[to].lo, hi) < 0 {
			to++
		}
		return tables[from:to:to]
	}
	var out []*table
	for _, t := range tables {
		if bytes.Compare(t.lo, hi) < 0 && bytes.Compare(lo, t.hi) < 0 {
			out = append(out, t)
		}
	}
	return out
}
