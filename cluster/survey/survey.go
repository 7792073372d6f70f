package survey

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim"
)

// Moment is what there was at one look.
type Moment struct {
	At    sim.Time
	Nodes []Load // in the order of cluster.Nodes
	// Ranges is how many there were. Lacking have fewer living voters than they should,
	// Down no quorum of them, and Misplaced copies where they do not belong.
	Ranges, Lacking, Down, Misplaced int
}

// Load is a node at one moment.
type Load struct {
	Here, Up         bool // part of the cluster; serving
	Replicas, Leases int
}

// Outage is a time in which a range could not be served.
type Outage struct {
	Range    kv.RangeID
	From, To sim.Time // To is the first look at which it was over, or the last of all
	Cause    string   // at its beginning
}

// Event is a change of a range that was seen between two looks.
type Event struct {
	At    sim.Time
	Range kv.RangeID
	Kind  string // one of Kinds
	Text  string
}

// The kinds of events.
const (
	KindSplit = "split"
	KindMerge = "merge"
	KindCopy  = "copies"
	KindLease = "lease"
)

// maxEvents bounds what is remembered in words; beyond it events are only counted.
const maxEvents = 4000

// Leaf is a range of the tree.
type Leaf struct {
	Desc   *kv.RangeDescriptor
	Holder kv.NodeID // of the lease; 0: nobody
	Bytes  int64     // of the replica that has applied most
}

// Survey is the memory of one run.
type Survey struct {
	c    *cluster.Cluster
	w    *invariants.Watcher
	want int // copies of each range

	Moments []Moment
	Outages []Outage
	Events  []Event
	Unsaid  int // events beyond maxEvents
	Tree    []Leaf

	open      []int // outages that go on, indices
	healed    sim.Time
	placed    []placed
	distances map[string]int // the best reachable spread, by who lives; looked up only
}

// New returns a survey of a cluster whose ranges should have so many copies each. The
// watcher knows their descriptors. Placement is judged from healed on.
func New(c *cluster.Cluster, w *invariants.Watcher, copies int, healed sim.Time) *Survey {
	return &Survey{c: c, w: w, want: copies, healed: healed, distances: map[string]int{}}
}

// Look remembers what there is at this moment. It is called between two events.
func (s *Survey) Look() {
	m := Moment{At: s.c.Sim().Now()}
	for _, n := range s.c.Nodes() {
		l := Load{Here: n.Joined(), Up: n.Server() != nil}
		if l.Up {
			n.Server().Store().VisitReplicas(func(*replica.Replica) bool {
				l.Replicas++
				return true
			})
		}
		m.Nodes = append(m.Nodes, l)
	}
	var tree []Leaf
	for _, d := range s.w.Ranges() {
		leaf := Leaf{Desc: d}
		waiting := false
		var index uint64
		for _, rd := range d.Replicas {
			r := s.replica(d, rd)
			if r == nil {
				continue
			}
			server := s.c.ServerOf(rd.NodeID)
			if r.LeaseStatus(reading(server.Clock())) == replica.LeaseValid {
				leaf.Holder = rd.NodeID
				m.Nodes[slices.Index(s.c.Nodes(), s.c.NodeOf(rd.NodeID))].Leases++
			}
			if st := r.State(); st.AppliedIndex >= index {
				index, leaf.Bytes = st.AppliedIndex, st.Stats.LiveBytes
			}
			waiting = waiting || r.Pending() > 0
		}
		tree = append(tree, leaf)
		s.judge(d, &m)
		s.outage(d, m.At, leaf.Holder == 0 && waiting)
	}
	m.Ranges = len(tree)
	if len(s.Moments) > 0 {
		s.compare(tree, m.At)
	}
	s.Tree, s.Moments = tree, append(s.Moments, m)
	s.close(m.At)
}

// replica is a living replica, nil if there is none where the descriptor says.
func (s *Survey) replica(d *kv.RangeDescriptor, rd kv.ReplicaDescriptor) *replica.Replica {
	server := s.c.ServerOf(rd.NodeID)
	if server == nil {
		return nil
	}
	return server.Store().Replica(d.RangeID)
}

// reading is what a clock would give out now, without its giving out anything.
func reading(c *hlc.Clock) hlc.Timestamp {
	return c.Last().Forward(hlc.Timestamp{Wall: c.PhysicalNow()})
}

// outage notes why a range cannot be served at this moment, if it cannot.
func (s *Survey) outage(d *kv.RangeDescriptor, at sim.Time, noLease bool) {
	cause := s.noQuorum(d)
	if cause == "" && noLease {
		cause = "proposals wait, and nobody holds a valid lease"
	}
	if cause == "" {
		return
	}
	for _, i := range s.open {
		if o := &s.Outages[i]; o.Range == d.RangeID {
			o.To = at
			return
		}
	}
	s.open = append(s.open, len(s.Outages))
	s.Outages = append(s.Outages, Outage{Range: d.RangeID, From: at, To: at, Cause: cause})
}

// close ends the outages that were not seen at this look.
func (s *Survey) close(at sim.Time) {
	s.open = slices.DeleteFunc(s.open, func(i int) bool {
		over := s.Outages[i].To < at
		if over {
			s.Outages[i].To = at
		}
		return over
	})
}

// noQuorum says which of a range's voters are missing, if too many are.
func (s *Survey) noQuorum(d *kv.RangeDescriptor) string {
	for _, half := range [][2]kv.ReplicaType{{kv.VoterOutgoing, kv.VoterDemoting}, {kv.VoterIncoming, kv.VoterIncoming}} {
		var missing []string
		voters := 0
		for _, rd := range d.Replicas {
			if rd.Type != kv.VoterFull && rd.Type != half[0] && rd.Type != half[1] {
				continue
			}
			voters++
			if s.replica(d, rd) == nil {
				missing = append(missing, s.name(rd.NodeID)+s.why(rd.NodeID))
			}
		}
		if voters-len(missing) <= voters/2 {
			return fmt.Sprintf("%d of %d voters missing: %s", len(missing), voters, strings.Join(missing, ", "))
		}
	}
	return ""
}

// name is a node's for people: of one whose disk is lost, that of its machine.
func (s *Survey) name(id kv.NodeID) string {
	if n := s.c.NodeOf(id); n != nil {
		return n.Name()
	}
	return fmt.Sprintf("node %d", id)
}

// why says what has become of a node that does not serve.
func (s *Survey) why(id kv.NodeID) string {
	n := s.c.NodeOf(id)
	switch {
	case n == nil:
		return " (disk lost)"
	case n.Left():
		return " (decommissioned)"
	case n.Server() != nil:
		return " (no replica there)"
	case s.c.Alive(n.Name()):
		return " (starting)"
	}
	if deaths := n.Deaths(); len(deaths) > 0 {
		why, _, _ := strings.Cut(deaths[len(deaths)-1], "\n")
		return " (" + why + ")"
	}
	return " (not started)"
}
