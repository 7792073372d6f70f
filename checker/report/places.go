package report

import (
	"cmp"
	"fmt"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Places is where copies and leases of ranges were, and what moved them. Nodes are those
// of the report's topology, by name; times are virtual ns.
type Places struct {
	Moments    []Moment            `json:"moments"`
	Outages    []Outage            `json:"unavailable"`
	Moves      []Move              `json:"movements"`
	MoreMoves  int                 `json:"movements_not_listed,omitempty"`
	Tree       []Leaf              `json:"ranges_at_the_end"`
	Recoveries []checker.Recovered `json:"recoveries"`
	Regions    []Service           `json:"availability_by_region"`
}

// Moment is what there was at one look.
type Moment struct {
	At     int64  `json:"at"`
	Ranges int    `json:"ranges"`
	Lack   int    `json:"lacking_copies"`
	Down   int    `json:"without_quorum"`
	Loads  []Load `json:"nodes"` // in the order of Report.Topology
}

// Load is what a node had at one moment. A node that is not Here is not part of the
// cluster yet, or any more; one that is not Up does not serve.
type Load struct {
	Here     bool `json:"here"`
	Up       bool `json:"up"`
	Replicas int  `json:"replicas"`
	Leases   int  `json:"leases"`
}

// Outage is a time in which a range could not be served, and why.
type Outage struct {
	Range string `json:"range"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Cause string `json:"cause"`
}

// Move is something that befell a range: a split, a merge, copies or a lease that moved,
// or a decision of the allocator with its reason and outcome.
type Move struct {
	At     int64  `json:"at"`
	Range  string `json:"range"`
	Kind   string `json:"kind"`
	Text   string `json:"text"`
	Reason string `json:"reason,omitempty"`
}

// Leaf is a range of the tree.
type Leaf struct {
	Range      string   `json:"range"`
	Start      string   `json:"start"`
	End        string   `json:"end"`
	Generation int64    `json:"generation"`
	Copies     []string `json:"copies"`
	Holder     string   `json:"leaseholder,omitempty"`
	Bytes      int64    `json:"bytes"`
	Index      bool     `json:"index,omitempty"` // it holds part of the index of all ranges
}

// Service is how the clients of a region were served.
type Service struct {
	Region   string `json:"region"`
	Clients  int    `json:"clients"`
	Answered int    `json:"answered"`
	Failed   int    `json:"failed"`
	Unknown  int    `json:"unknown"`
	// Silence is the longest time in which none of them had an answer, and From when it
	// began, in virtual ns.
	Silence int64 `json:"longest_silence"`
	From    int64 `json:"silence_from"`
}

// Share is what part of what was asked was answered.
func (s Service) Share() string {
	all := s.Answered + s.Failed + s.Unknown
	if all == 0 {
		return "nothing asked"
	}
	return fmt.Sprintf("%.2f %%", float64(s.Answered)/float64(all)*100)
}

// ByRegion sums up how the clients of each region were served, in the order of regions.
// clients tells where each client stands.
func ByRegion(h *history.History, regions []string, clients map[string]string) []Service {
	all := make([]Service, len(regions))
	last := make([]int64, len(regions))
	at := map[string]int{}
	for i, r := range regions {
		all[i].Region, at[r] = r, i
	}
	for _, r := range clients {
		if i, ok := at[r]; ok {
			all[i].Clients++
		}
	}
	end := int64(0)
	type answer struct {
		at     int64
		region int
	}
	var answers []answer
	for j := range h.Ops {
		op := &h.Ops[j]
		i, ok := at[clients[op.Client]]
		if !ok || op.Err == history.Undone {
			continue
		}
		switch {
		case op.Outcome == history.OK || op.Err == history.ConditionFailed:
			all[i].Answered++
			answers = append(answers, answer{op.Return, i})
			end = max(end, op.Return)
		case op.Outcome == history.Fail:
			all[i].Failed++
		default:
			all[i].Unknown++
		}
	}
	slices.SortStableFunc(answers, func(a, b answer) int { return cmp.Compare(a.at, b.at) })
	note := func(i int, t int64) {
		if t-last[i] > all[i].Silence {
			all[i].Silence, all[i].From = t-last[i], last[i]
		}
		last[i] = t
	}
	for _, a := range answers {
		note(a.region, a.at)
	}
	for i := range all {
		note(i, end)
	}
	return all
}

// placeRow is a node's row of the map: a block for each time in which it had the same.
type placeRow struct {
	Region, Name string
	Blocks       []block
}

// block is a time of a row, in percent of the width; its heights are in pixels of 24.
type block struct {
	X, W, Class, Hint  string
	ReplicaY, ReplicaH int
	LeaseY, LeaseH     int
	start, end         int64
	load               Load
}

const mapHeight = 26

// placeRows draws the map of copies and leases over time.
func (r *Report) placeRows() []placeRow {
	if r.Places == nil || len(r.Places.Moments) == 0 {
		return nil
	}
	most := 1
	for _, m := range r.Places.Moments {
		for _, l := range m.Loads {
			most = max(most, l.Replicas)
		}
	}
	index := map[string]int{}
	for i, n := range r.Topology {
		index[n.Name] = i
	}
	var rows []placeRow
	last := ""
	for _, n := range r.orderedNodes() {
		row := placeRow{Name: n.Name}
		if n.Region != last {
			row.Region, last = n.Region, n.Region
		}
		for i, m := range r.Places.Moments {
			if index[n.Name] >= len(m.Loads) {
				continue
			}
			end := r.span()
			if i+1 < len(r.Places.Moments) {
				end = r.Places.Moments[i+1].At
			}
			l := m.Loads[index[n.Name]]
			if k := len(row.Blocks); k > 0 && row.Blocks[k-1].load == l {
				row.Blocks[k-1].end = end
				continue
			}
			row.Blocks = append(row.Blocks, block{start: m.At, end: end, load: l})
		}
		for i := range row.Blocks {
			row.Blocks[i].draw(n.Name, most, r.span())
		}
		rows = append(rows, row)
	}
	return rows
}

// draw fixes what a block looks like.
func (b *block) draw(name string, most int, span int64) {
	percent := func(t int64) string { return fmt.Sprintf("%.3f%%", float64(t)/float64(span)*100) }
	b.X, b.W = percent(b.start), percent(b.end-b.start)
	what := fmt.Sprintf("%d copies, %d leases", b.load.Replicas, b.load.Leases)
	switch {
	case !b.load.Here:
		b.Class, what = "absent", "not part of the cluster"
	case !b.load.Up:
		b.Class, what = "down", "down"
	default:
		b.Class = "up"
		b.ReplicaH = b.load.Replicas * (mapHeight - 4) / most
		b.LeaseH = min(b.ReplicaH, b.load.Leases*(mapHeight-4)/most)
		if b.load.Leases > 0 {
			b.LeaseH = max(2, b.LeaseH)
		}
		b.ReplicaY, b.LeaseY = mapHeight-2-b.ReplicaH, mapHeight-2-b.LeaseH
	}
	b.Hint = fmt.Sprintf("%s, %s to %s: %s", name, history.Clock(b.start), history.Clock(b.end), what)
}

// The page shows so many rows of what may be long; results.json has all of them.
const (
	shownOutages = 60
	shownMoves   = 400
)

// places is the section of the page.
type places struct {
	Rows        []placeRow
	Outages     []Outage
	MoreOutages int
	Moves       []Move
	MoreMoves   int
	Recoveries  []recoveryRow
	*Places
}

type recoveryRow struct{ What, Loss, At, Waited, Key, Restored string }

func (p *page) places(r *Report) {
	if r.Places == nil {
		return
	}
	s := &places{Rows: r.placeRows(), Places: r.Places, Outages: r.Places.Outages, Moves: r.Places.Moves, MoreMoves: r.Places.MoreMoves}
	if n := len(s.Outages); n > shownOutages {
		s.Outages, s.MoreOutages = s.Outages[:shownOutages], n-shownOutages
	}
	if n := len(s.Moves); n > shownMoves {
		s.Moves, s.MoreMoves = s.Moves[:shownMoves], s.MoreMoves+n-shownMoves
	}
	for _, rec := range r.Places.Recoveries {
		row := recoveryRow{What: rec.What, Loss: rec.Name, At: history.Clock(rec.At), Waited: "not served again", Key: rec.Key, Restored: "none was lacking"}
		if rec.Served != history.Never {
			row.Waited = millis(rec.Served)
		}
		switch rec.Restored {
		case 0:
		case history.Never:
			row.Restored = "not before the end"
		default:
			row.Restored = fmt.Sprintf("after %.1f s", float64(rec.Restored-rec.At)/1e9)
		}
		s.Recoveries = append(s.Recoveries, row)
	}
	p.Places = s
}
