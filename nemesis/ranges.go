package nemesis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// isRange reports whether a selector is the name of a range: r and its number.
func isRange(s string) bool {
	digits, ok := strings.CutPrefix(s, "r")
	n, err := strconv.ParseUint(digits, 10, 31)
	return ok && err == nil && n > 0 && digits[0] >= '1' && digits[0] <= '9'
}

// hasRange reports whether there is a range of that name at the beginning.
func (topo Topology) hasRange(name string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "r"))
	return isRange(name) && err == nil && n <= topo.Ranges
}

// ranges lists all ranges that there are at the beginning.
func (topo Topology) ranges() []string {
	all := make([]string, topo.Ranges)
	for i := range all {
		all[i] = "r" + strconv.Itoa(i+1)
	}
	return all
}

// checkRanges says what a fault of ranges names that the topology does not have.
func (f Fault) checkRanges(topo Topology) error {
	for _, s := range f.Who[0] {
		if isRange(s) && !topo.hasRange(s) {
			return fmt.Errorf("%s: there is no %q in this topology, which begins with %d ranges", f, s, topo.Ranges)
		}
	}
	if f.To != "" && !slices.Contains(names(topo.All()), f.To) {
		return fmt.Errorf("%s: there is no node %q in this topology", f, f.To)
	}
	return nil
}

// rangesOf lists the ranges that a fault of ranges hits at this moment, each once.
func (r *Runner) rangesOf(x *running) []string {
	var all []string
	for _, s := range x.Who[0] {
		var some []string
		switch {
		case s == "all":
			some = r.topo.ranges()
		case isRange(s):
			some = []string{s}
		default:
			for _, n := range r.topo.resolve(s, false) {
				some = append(some, r.t.Leases(n)...)
			}
		}
		for _, name := range some {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// asked is what a fault of ranges asks of them.
func asked(k Kind) RangeKind {
	switch k {
	case LeaseTransfer:
		return MoveLease
	case LeaderTransfer:
		return MoveLeader
	case ForcedElection:
		return Campaign
	case TruncateLog:
		return CutLog
	case SplitRange:
		return Divide
	case MergeRanges:
		return Unite
	case MoveReplica:
		return MoveCopy
	}
	return Scatter
}

// askRanges asks something of each range. What comes of it shows later, when the
// repetition is long over: the effects are kept to the end of the run.
func (r *Runner) askRanges(x *running) {
	kind := asked(x.Kind)
	names := r.rangesOf(x)
	x.reason = "every range that was asked refused"
	if len(names) == 0 {
		x.reason = fmt.Sprintf("%s held no lease", strings.Join(x.Who[0], ","))
	}
	for _, name := range names {
		x.late = append(x.late, r.t.Range(name, RangeFault{Kind: kind, To: x.To}))
	}
}
