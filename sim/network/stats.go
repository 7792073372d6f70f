package network

import (
	"cmp"
	"slices"

	"simulacrum/sim/env"
)

// Labeled is a message that says what it is; Stats counts messages by it. Others
// are counted as "message". The label must be a constant of the type, or one of few.
type Labeled interface{ Label() string }

// Traffic counts messages, and their bytes with framing. What was sent and neither
// delivered nor dropped is on its way or kept back.
type Traffic struct {
	Sent, SentBytes           int64
	Delivered, DeliveredBytes int64
	Dropped, DroppedBytes     int64
}

func (t *Traffic) sent(size int64)      { t.Sent++; t.SentBytes += size }
func (t *Traffic) delivered(size int64) { t.Delivered++; t.DeliveredBytes += size }
func (t *Traffic) dropped(size int64)   { t.Dropped++; t.DroppedBytes += size }

// LabelTraffic is the traffic of one kind of message.
type LabelTraffic struct {
	Label string
	Traffic
}

// RegionTraffic is the traffic from one region to another.
type RegionTraffic struct {
	From, To string
	Traffic
}

// Totals count what happened in the whole network.
type Totals struct {
	Dials         int64 // begun
	Refused       int64 // dials that were answered by no
	Resets        int64 // RST packets sent, and connections broken by Reset
	Unreachable   int64 // connections and dials that timed out
	Duplicated    int64 // segments that arrived twice, and were discarded once
	Retransmitted int64 // times that something lost was sent again
	Corrupted     int64 // frames whose checksum failed
}

// Stats is what the network did so far.
type Stats struct {
	Totals
	Labels  []LabelTraffic  // by label
	Regions []RegionTraffic // by From, then To
}

// Stats is a copy of the counters.
func (n *Network) Stats() Stats {
	s := Stats{Totals: n.stats}
	for label, t := range n.labels {
		s.Labels = append(s.Labels, LabelTraffic{Label: label, Traffic: *t})
	}
	slices.SortFunc(s.Labels, func(a, b LabelTraffic) int { return cmp.Compare(a.Label, b.Label) })
	for pair, t := range n.pairs {
		s.Regions = append(s.Regions, RegionTraffic{From: pair[0], To: pair[1], Traffic: *t})
	}
	slices.SortFunc(s.Regions, func(a, b RegionTraffic) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return s
}

func (n *Network) pair(from, to string) *Traffic {
	k := [2]string{from, to}
	t, ok := n.pairs[k]
	if !ok {
		t = &Traffic{}
		n.pairs[k] = t
	}
	return t
}

// traffic finds the counters for a message's label. Streams remember the last: most
// carry few kinds.
func (st *stream) traffic(m env.Message) *Traffic {
	label := "message"
	if l, ok := m.(Labeled); ok {
		label = l.Label()
	}
	if st.count != nil && st.label == label {
		return st.count
	}
	t, ok := st.net.labels[label]
	if !ok {
		t = &Traffic{}
		st.net.labels[label] = t
	}
	st.label, st.count = label, t
	return t
}
