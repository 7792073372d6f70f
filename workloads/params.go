package workloads

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Params are the size and the mixture of a workload. The zero Params are
// replaced, field by field, by those of Defaults.
type Params struct {
	// Slots is the number of parts of the key space: one for each range.
	Slots int
	// Keys is how many registers there are, and Counters how many counters, both
	// spread over all slots.
	Keys, Counters int
	// Hot is how many registers, and counters, draw HotPercent of the operations.
	// Below 0: none.
	Hot, HotPercent int
	// Think is the mean time from an answer to the next request, exponentially
	// spread. Negative: none, a closed loop.
	Think time.Duration
	// Mix weighs the operations on registers.
	Mix Mix
	// Registers, Increments and Sets weigh the parts of the mixed workload.
	Registers, Increments, Sets int
	// Txn says what transactions consist of, in the workloads that have them.
	Txn Txn
}

// Txn is what transactions consist of. Percentages are of 100 transactions, unless
// they say otherwise, and weights are relative to each other.
type Txn struct {
	// Ops is the most operations that a transaction has; it has at least one.
	Ops int
	// Weights of operations.
	Read, Write, CAS, InitPut, Delete, DeleteRange, Scan, Reverse, Limited, Add, Increment int
	// Shared and Exclusive are how many of 100 reads lock what they read.
	Shared, Exclusive int
	// ReadOnly transactions read only; those of the Past at an earlier timestamp.
	ReadOnly, Past int
	// Nested transactions have savepoints, within each other, half of which are
	// rolled back to.
	Nested int
	// Alone is how many are single operations outside of any transaction.
	Alone int
	// Long transactions pause between operations, for Pause on average.
	Long  int
	Pause time.Duration
	// Vanish is in how many of 1,000 transactions the client stops talking in the
	// middle, for Away, after which it may go on or not.
	Vanish int
	Away   time.Duration
	// Low and High are how many have a priority other than the usual one.
	Low, High int
	// Again is how many of 100 operations on one key come back to a key that their
	// transaction has asked for before, as programs do that read what they wrote, or
	// write it once more.
	Again int
	// PerKey is after how many appends a list gives way to a new one.
	PerKey int
	// CommitWait has every commit waited out, and the run judged for order in real
	// time across keys.
	CommitWait bool
}

// Mix weighs operations on registers against each other.
type Mix struct {
	Read, Write, CAS, Delete, Scan, Reverse, Batch, Past int
}

// Defaults is a mixture in which clients of all regions meet on few keys.
func Defaults() Params {
	return Params{
		Slots: 12, Keys: 36, Counters: 12, Hot: 3, HotPercent: 50, Think: 100 * time.Millisecond,
		Mix:       Mix{Read: 30, Write: 25, CAS: 15, Delete: 5, Scan: 6, Reverse: 4, Batch: 10, Past: 5},
		Registers: 60, Increments: 20, Sets: 20,
		Txn: Txn{Ops: 6, Read: 35, Write: 30, CAS: 4, InitPut: 3, Delete: 5, DeleteRange: 2, Scan: 6, Reverse: 3, Limited: 4,
			Shared: 6, Exclusive: 12, ReadOnly: 15, Past: 6, Nested: 10, Alone: 6, Long: 6, Pause: 200 * time.Millisecond,
			Vanish: 4, Away: 8 * time.Second, Low: 8, High: 8, Again: 35, PerKey: 48},
	}
}

// fill replaces zero fields by the defaults.
func (p Params) fill() Params {
	d := Defaults()
	for _, f := range []struct{ have, def *int }{
		{&p.Slots, &d.Slots}, {&p.Keys, &d.Keys}, {&p.Counters, &d.Counters}, {&p.Hot, &d.Hot}, {&p.HotPercent, &d.HotPercent},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	if p.Think == 0 {
		p.Think = d.Think
	}
	if p.Mix == (Mix{}) {
		p.Mix = d.Mix
	}
	if p.Registers == 0 && p.Increments == 0 && p.Sets == 0 {
		p.Registers, p.Increments, p.Sets = d.Registers, d.Increments, d.Sets
	}
	if p.Txn == (Txn{}) {
		p.Txn = d.Txn
	}
	return p
}

// Validate says what is wrong with parameters, and what would be right.
func (p Params) Validate() error {
	p = p.fill()
	switch m := p.Mix; {
	case p.Slots < 1 || p.Slots > 99:
		return fmt.Errorf("slots = %d: say 1 to 99, one for each range", p.Slots)
	case p.Keys < 1 || p.Keys > 999 || p.Counters < 1 || p.Counters > 999:
		return fmt.Errorf("keys = %d and counters = %d: say 1 to 999 of each", p.Keys, p.Counters)
	case p.Hot > p.Keys || p.HotPercent < 0 || p.HotPercent > 100:
		return fmt.Errorf("hot = %d with %d percent: say at most %d keys, and 0 to 100", p.Hot, p.HotPercent, p.Keys)
	case min(m.Read, m.Write, m.CAS, m.Delete, m.Scan, m.Reverse, m.Batch, m.Past) < 0,
		min(p.Registers, p.Increments, p.Sets) < 0:
		return fmt.Errorf("a weight is below 0: leave an operation out with 0")
	}
	return p.Txn.validate()
}

func (x Txn) validate() error {
	weights := []int{x.Read, x.Write, x.CAS, x.InitPut, x.Delete, x.DeleteRange, x.Scan, x.Reverse, x.Limited, x.Add, x.Increment}
	shares := []int{x.Shared + x.Exclusive, x.ReadOnly + x.Past + x.Alone, x.Nested, x.Long, x.Low + x.High, x.Again}
	switch {
	case x.Ops < 1 || x.Ops > 64:
		return fmt.Errorf("txn.ops = %d: say 1 to 64 operations of a transaction", x.Ops)
	case slices.Min(weights) < 0:
		return fmt.Errorf("a weight of txn is below 0: leave an operation out with 0")
	case x.Read == 0 || x.Write == 0:
		return fmt.Errorf("txn.read = %d and txn.write = %d: say at least 1, or there is nothing to judge", x.Read, x.Write)
	case min(x.Shared, x.Exclusive, x.ReadOnly, x.Past, x.Nested, x.Alone, x.Long, x.Low, x.High, x.Again) < 0 || slices.Max(shares) > 100:
		return fmt.Errorf("a share of txn is out of bounds: say 0 to 100, of shared and exclusive together too, of read-only, past and alone, and of low and high")
	case x.Vanish < 0 || x.Vanish > 1000:
		return fmt.Errorf("txn.vanish = %d: say 0 to 1000, of 1,000 transactions", x.Vanish)
	case x.Pause < 0 || x.Long > 0 && x.Pause == 0 || x.Away < 0 || x.Vanish > 0 && x.Away == 0:
		return fmt.Errorf("txn.pause = %v and txn.away = %v: say how long they last on average", x.Pause, x.Away)
	case x.PerKey < 2 || x.PerKey > 10_000:
		return fmt.Errorf("txn.per-key = %d: say 2 to 10000 appends, after which a list gives way to another", x.PerKey)
	}
	return nil
}

// kind is a workload that New knows.
type kind struct {
	name string
	txns bool   // what its clients do are transactions
	doc  string // a sentence about it
}

func kinds() []kind {
	return []kind{
		{"register", false, "registers: reads, writes, compare-and-set, deletes, scans, batches, reads of the past; no transactions"},
		{"increments", false, "counters: every increment counts exactly once"},
		{"set", false, "sets: what was added is there"},
		{"mixed", false, "registers, counters and sets at once"},
		{"append", true, "transactions that read lists and append to them; a list is one value, or a row for each element"},
		{"registers", true, "transactions of every operation there is on registers, with counters and sets if weighed"},
		{"bank", true, "transfers between accounts, which are closed when empty; the total is kept, in the past too"},
		{"long-fork", true, "blind writes of single keys, and reads of several: all see one order"},
		{"g2", true, "inserts that look first whether there is anything, in two ranges: at most one succeeds"},
		{"monotonic", true, "each transaction writes more than the greatest value there is: timestamps rise with values"},
		{"sequential", true, "keys written one after the other: whoever sees a later one sees the earlier ones"},
	}
}

// Names lists the workloads that New knows.
func Names() []string {
	var all []string
	for _, k := range kinds() {
		all = append(all, k.name)
	}
	return all
}

// Doc says in a sentence what a workload does, or nothing of one that there is not.
func Doc(name string) string {
	for _, k := range kinds() {
		if k.name == name {
			return k.doc
		}
	}
	return ""
}

// Transactional reports whether what clients of the workload do are transactions.
func Transactional(name string) bool {
	return slices.ContainsFunc(kinds(), func(k kind) bool { return k.name == name && k.txns })
}

// New makes a workload for one run.
func New(name string, p Params) (Workload, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p = p.fill()
	b := &base{Params: p, done: map[string]int{}}
	with := func(s script) (Workload, error) {
		b.wanted = s.wants()
		return &transactional{base: b, script: s, name: name}, nil
	}
	switch name {
	case "register":
		return newMixed(name, b, newRegisters(b)), nil
	case "increments":
		return newMixed(name, b, newCounters(b)), nil
	case "set":
		return newMixed(name, b, newSets(b)), nil
	case "mixed":
		w := newMixed(name, b, newRegisters(b), newCounters(b), newSets(b))
		w.weights = []int{p.Registers, p.Increments, p.Sets}
		return w, nil
	case "append":
		return with(newLists(b))
	case "registers":
		return with(newLedger(b))
	case "bank":
		return with(newBank(b))
	case "long-fork":
		return with(newForks(b))
	case "g2":
		return with(newGuarded(b))
	case "monotonic":
		return with(newRising(b))
	case "sequential":
		return with(newFamilies(b))
	}
	return nil, fmt.Errorf("no workload is called %q: there are %s", name, strings.Join(Names(), ", "))
}
