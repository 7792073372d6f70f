package disk

// journal holds the operations on directories that are not yet durable, in the
// order in which they were made.
//
// Each operation assigns one or two names, and does so atomically; a rename is
// {old name: nothing, new name: inode}. Two operations depend on each other when
// they assign the same name. What becomes durable is always closed under that
// dependency, so that each name goes through its own history in order, while
// unrelated names may overtake each other. (Keeping any subset was rejected: a
// rename b→c that survives without the a→b before it leaves a file under two
// names, which no file system does. Keeping prefixes only was rejected as well:
// it hides a database that renames CURRENT without having synced the directory
// in which the file that CURRENT names was created.)
type journal struct {
	ops  []operation
	next uint64 // sequence number of the next operation
	// limit bounds the memory that pending removals hold on to. Beyond it the
	// older half becomes durable, as a kernel's own commit timer would see to.
	limit int
}

type operation struct {
	seq     uint64
	n       int
	changes [2]change
}

// change assigns a name. A nil inode removes it.
type change struct {
	dir  *inode
	name string
	to   *inode
}

// entryName identifies a name in a directory.
type entryName struct {
	dir  uint64
	name string
}

func (c *change) entry() entryName { return entryName{c.dir.id, c.name} }

// record applies changes to the live directories and notes them as one operation.
func (j *journal) record(changes ...change) {
	op := operation{seq: j.next, n: len(changes)}
	j.next++
	copy(op.changes[:], changes)
	for i := range changes {
		changes[i].apply(changes[i].dir.dir.live)
	}
	j.ops = append(j.ops, op)
	if len(j.ops) > j.limit {
		half := len(j.ops) / 2
		for i := range j.ops[:half] {
			j.ops[i].persist()
		}
		j.truncate(append(j.ops[:0], j.ops[half:]...))
	}
}

func (c *change) apply(entries map[string]*inode) {
	if c.to == nil {
		delete(entries, c.name)
	} else {
		entries[c.name] = c.to
	}
}

// persist applies the operation to the durable directories.
func (op *operation) persist() {
	for i := range op.changes[:op.n] {
		c := &op.changes[i]
		c.apply(c.dir.dir.durable)
	}
}

func (op *operation) touches(dir *inode) bool {
	return op.changes[0].dir == dir || op.n == 2 && op.changes[1].dir == dir
}

func (op *operation) in(set map[entryName]bool) bool {
	return set[op.changes[0].entry()] || op.n == 2 && set[op.changes[1].entry()]
}

func (op *operation) addTo(set map[entryName]bool) {
	for i := range op.changes[:op.n] {
		set[op.changes[i].entry()] = true
	}
}

// commit makes durable the operations on dir before sequence number upTo, and
// those that they depend on, which a rename across directories drags in.
func (j *journal) commit(dir *inode, upTo uint64) {
	if len(j.ops) == 0 {
		return
	}
	needed := make(map[entryName]bool)
	due := make([]bool, len(j.ops))
	for i := len(j.ops) - 1; i >= 0; i-- {
		op := &j.ops[i]
		if op.seq < upTo && (op.touches(dir) || op.in(needed)) {
			due[i] = true
			op.addTo(needed)
		}
	}
	keep := j.ops[:0]
	for i := range j.ops {
		if due[i] {
			j.ops[i].persist()
		} else {
			keep = append(keep, j.ops[i])
		}
	}
	j.truncate(keep)
}

// truncate keeps the given prefix of the same array and forgets the rest, so that
// removed inodes can be collected.
func (j *journal) truncate(keep []operation) {
	clear(j.ops[len(keep):])
	j.ops = keep
}
