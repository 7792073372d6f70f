package nemesis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"simulacrum/sim/env"
)

// Fault is one line of a plan: when, what, on whom, how long, and how hard. It
// prints, and the line parses back to an equal Fault.
//
//	at T+12.500s partition halves n1,n2|n3,c1 for 4s mode=hold
//	at T+3.000s power-loss region:us-east for 5s stagger=20ms
//	at probe "append written, before sync" n3 #4 crash for 2s
//	at probe "append written, before sync" any #4 crash for 500ms times=6 every=2s
//	at T+8.000s crash n2 for 500ms times=6 every=2s
//	at T+5.000s stop all for 1s stagger=4s
//	at T+9.000s lease-transfer r3,r4 to=n5
//	at T+9.000s leader-transfer all times=40 every=200ms
//	at T+9.000s split r3
//	at T+9.000s move-replica r3 to=n5
//	at T+20.000s lose-disk n4
//	at T+30.000s add-node n10,n11 stagger=2s
type Fault struct {
	At   Trigger
	Kind Kind
	// Shape is set for Partition alone.
	Shape Shape
	// Who is one or more groups of endpoints; what a group means is up to the kind
	// and shape. An entry is a name, "region:R", "zone:R/Z" or "all". In network
	// faults a place takes in the clients that stand there. In faults of ranges an
	// entry may be a range, such as "r3"; a node or place stands for the ranges of
	// which it holds the lease at that moment. In AddNode an entry names a spare, or the
	// place where some stand. At a probe that any node may reach, Who is Any for whoever
	// reached it.
	Who [][]string
	// For is how long it lasts. 0: until the fault window ends.
	For time.Duration
	// Times is how often it is done, at least 1, with Every from start to start. At a
	// probe each time waits for the first visit that is no sooner than Every.
	Times int
	Every time.Duration

	Stagger time.Duration // Crash, CleanStop, PowerLoss, DrainNode, AddNode: from one node's loss, and return, to the next one's
	Mode    CutMode       // Partition
	Link    LinkFault     // Degrade
	Factor  int64         // SlowCPU, SlowDisk: how many times slower
	Rate    int64         // WriteError, SyncError: share of operations that fail, ppm
	By      time.Duration // ClockStep, ClockOffset, ClockStrobe
	PPM     int64         // ClockDrift: millionths that the clocks gain
	Period  time.Duration // ClockStrobe: from one jump to the next
	To      string        // LeaseTransfer, LeaderTransfer, ForcedElection, MoveReplica: the node that takes over; "": the next in turn
}

// Trigger says when a fault begins: at a time, or when an endpoint reaches a
// probe.
type Trigger struct {
	T time.Duration // since the run began

	Probe env.Probe // if not empty, T is 0
	Node  string    // who reaches it, or Any
	Nth   int64     // at which of its visits since the run began, from 1
}

// Any stands for whichever node reaches a probe: as the trigger's node it counts the visits
// of all nodes, and as the fault's only victim it is the node that is there at that moment.
// Many points matter where a lease or a leader is, and that nobody knows beforehand.
const Any = "any"

// hitsAny reports that the fault's victim is whoever will reach the probe.
func (f Fault) hitsAny() bool {
	return f.At.Node == Any && len(f.Who) == 1 && slices.Equal(f.Who[0], []string{Any})
}

// reachedBy is the fault as it is done when a node has reached the probe.
func (f Fault) reachedBy(node string) Fault {
	if f.hitsAny() {
		f.Who = [][]string{{node}}
	}
	return f
}

// Kind is what a fault does.
type Kind uint8

// The kinds of faults.
const (
	Crash Kind = iota
	CleanStop
	Pause
	SlowCPU
	PowerLoss
	Partition
	Degrade
	Reset
	ClockStep
	ClockOffset
	ClockDrift
	ClockStrobe
	ClockFreeze
	SlowDisk
	StallDisk
	FullDisk
	WriteError
	SyncError
	LeaseTransfer
	LeaderTransfer
	ForcedElection
	TruncateLog
	SplitRange
	AddNode
	DrainNode
	Decommission
	ReplaceNode
	LoseDisk
	MergeRanges
	MoveReplica
	ScatterRange
	NeedSnapshot
	numKinds
)

// Family groups kinds by what they break.
type Family uint8

// The families. Clients is the process family, done to clients; Ranges are the
// parts into which the system cuts its data, and who serves them; Membership, called
// topology, is which nodes there are, and where copies of the data stand.
const (
	Process Family = iota
	Power
	Network
	Clock
	Disk
	Clients
	Ranges
	Membership
	NumFamilies
)

// String is the name that scenario files use.
func (f Family) String() string {
	return [...]string{"process", "power", "network", "clock", "disk", "clients", "ranges", "topology"}[f]
}

// ParseFamily is the inverse of Family.String.
func ParseFamily(s string) (Family, error) {
	for f := range NumFamilies {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("no family of faults is called %q: say process, power, network, clock, disk, clients, ranges or topology", s)
}

// Shape is how a partition divides its groups.
type Shape uint8

// The shapes of partitions.
const (
	NoShape      Shape = iota
	Halves             // the groups hear nothing of each other; two or more
	MajorityRing       // each group, four or more in a ring, hears just enough neighbours to be a majority
	Bridge             // the first two groups hear nothing of each other, the third hears both
	OneWay             // what the first group sends does not reach the second
	Isolate            // the one group hears nothing of everyone else
	Partial            // within each group nobody hears anybody; the rest is whole
	numShapes
)

// String is the word in a plan's line.
func (s Shape) String() string {
	return [...]string{"", "halves", "majority-ring", "bridge", "one-way", "isolate", "partial"}[s]
}

// kindInfo is the grammar of a kind.
type kindInfo struct {
	name     string
	family   Family
	min, max int    // groups
	params   string // names of parameters it takes, space-separated
	needs    string // of those, the ones it cannot do without
	lasting  bool   // it may have a duration
	asks     bool   // it asks something of ranges: groups may name ranges
}

const many = 1 << 20

// kinds is the grammar, by Kind. Nothing assigns to it.
var kinds = [numKinds]kindInfo{
	Crash:       {name: "crash", family: Process, min: 1, max: 1, params: "stagger", lasting: true},
	CleanStop:   {name: "stop", family: Process, min: 1, max: 1, params: "stagger", lasting: true},
	Pause:       {name: "pause", family: Process, min: 1, max: 1, lasting: true},
	SlowCPU:     {name: "slow-cpu", family: Process, min: 1, max: 1, params: "factor", needs: "factor", lasting: true},
	PowerLoss:   {name: "power-loss", family: Power, min: 1, max: 1, params: "stagger", lasting: true},
	Partition:   {name: "partition", family: Network, min: 1, max: many, params: "mode", lasting: true},
	Degrade:     {name: "degrade", family: Network, min: 1, max: 2, params: "loss dup reorder corrupt delay jitter bandwidth", lasting: true},
	Reset:       {name: "reset", family: Network, min: 1, max: 2},
	ClockStep:   {name: "clock-step", family: Clock, min: 1, max: 1, params: "by", needs: "by"},
	ClockOffset: {name: "clock-offset", family: Clock, min: 1, max: 1, params: "by", needs: "by", lasting: true},
	ClockDrift:  {name: "clock-drift", family: Clock, min: 1, max: 1, params: "ppm", needs: "ppm", lasting: true},
	ClockStrobe: {name: "clock-strobe", family: Clock, min: 1, max: 1, params: "by period", needs: "by period", lasting: true},
	ClockFreeze: {name: "clock-freeze", family: Clock, min: 1, max: 1, lasting: true},
	SlowDisk:    {name: "disk-slow", family: Disk, min: 1, max: 1, params: "factor", needs: "factor", lasting: true},
	StallDisk:   {name: "disk-stall", family: Disk, min: 1, max: 1, lasting: true},
	FullDisk:    {name: "disk-full", family: Disk, min: 1, max: 1, lasting: true},
	WriteError:  {name: "disk-write-error", family: Disk, min: 1, max: 1, params: "rate", needs: "rate", lasting: true},
	SyncError:   {name: "disk-sync-error", family: Disk, min: 1, max: 1, params: "rate", needs: "rate", lasting: true},

	LeaseTransfer:  {name: "lease-transfer", family: Ranges, min: 1, max: 1, params: "to", asks: true},
	LeaderTransfer: {name: "leader-transfer", family: Ranges, min: 1, max: 1, params: "to", asks: true},
	ForcedElection: {name: "campaign", family: Ranges, min: 1, max: 1, params: "to", asks: true},
	TruncateLog:    {name: "truncate-log", family: Ranges, min: 1, max: 1, asks: true},
	SplitRange:     {name: "split", family: Ranges, min: 1, max: 1, asks: true},

	AddNode:      {name: "add-node", family: Membership, min: 1, max: 1, params: "stagger"},
	DrainNode:    {name: "drain", family: Membership, min: 1, max: 1, params: "stagger", lasting: true},
	Decommission: {name: "decommission", family: Membership, min: 1, max: 1},
	ReplaceNode:  {name: "replace-node", family: Membership, min: 1, max: 1, lasting: true},
	LoseDisk:     {name: "lose-disk", family: Membership, min: 1, max: 1},
	MergeRanges:  {name: "merge", family: Membership, min: 1, max: 1, asks: true},
	MoveReplica:  {name: "move-replica", family: Membership, min: 1, max: 1, params: "to", asks: true},
	ScatterRange: {name: "scatter", family: Membership, min: 1, max: 1, asks: true},
	NeedSnapshot: {name: "snapshot", family: Membership, min: 1, max: 1, lasting: true},
}

// String is the word in a plan's line.
func (k Kind) String() string { return kinds[k].name }

// Family is what the kind breaks.
func (k Kind) Family() Family { return kinds[k].family }

// Kinds lists all kinds, in order.
func Kinds() []Kind {
	all := make([]Kind, numKinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the fault's line in a plan.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString("at ")
	b.WriteString(f.At.String())
	b.WriteByte(' ')
	b.WriteString(f.Kind.String())
	if f.Shape != NoShape {
		b.WriteByte(' ')
		b.WriteString(f.Shape.String())
	}
	if !f.implied() {
		b.WriteByte(' ')
		for i, g := range f.Who {
			if i > 0 {
				b.WriteByte('|')
			}
			b.WriteString(strings.Join(g, ","))
		}
	}
	if f.For > 0 {
		b.WriteString(" for " + f.For.String())
	}
	for i := range params {
		if s := params[i].get(&f); s != "" {
			b.WriteString(" " + params[i].name + "=" + s)
		}
	}
	return b.String()
}

// implied reports whether the fault hits just whoever reached the probe, which a
// line need not repeat.
func (f Fault) implied() bool {
	return f.At.Probe != "" && f.Shape == NoShape &&
		len(f.Who) == 1 && len(f.Who[0]) == 1 && f.Who[0][0] == f.At.Node
}

// String is the trigger as a line has it after "at".
func (t Trigger) String() string {
	if t.Probe != "" {
		return fmt.Sprintf("probe %s %s #%d", strconv.Quote(string(t.Probe)), t.Node, t.Nth)
	}
	return formatTime(t.T)
}

// formatTime prints a time of the run, to the millisecond where that is exact.
func formatTime(t time.Duration) string {
	if t%time.Millisecond == 0 {
		return fmt.Sprintf("T+%d.%03ds", t/time.Second, t%time.Second/time.Millisecond)
	}
	return fmt.Sprintf("T+%d.%09ds", t/time.Second, t%time.Second)
}

// spans lists when the fault is in force, if it begins at start: one [from, to)
// for each repetition, none beyond end. An instant fault has from == to.
func (f Fault) spans(start, end time.Duration) [][2]time.Duration {
	var all [][2]time.Duration
	for i := range f.Times {
		from := start + time.Duration(i)*f.Every
		if from >= end {
			break
		}
		to := end
		if !kinds[f.Kind].lasting {
			to = from
		} else if f.For > 0 && f.For < end-from {
			to = from + f.For
		}
		all = append(all, [2]time.Duration{from, to})
	}
	return all
}

// Targets lists the endpoints that the fault names, in the topology's order within
// each group, none twice.
func (f Fault) Targets(topo Topology) []string {
	var all []string
	for _, group := range f.Who {
		if f.Kind == AddNode {
			all = append(all, topo.newcomers(group)...)
			continue
		}
		for _, name := range topo.group(group, f.Kind.Family() == Network) {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
