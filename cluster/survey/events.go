package survey

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/db/kv"
	"simulacrum/sim"
)

// compare finds what has changed since the last look.
func (s *Survey) compare(tree []Leaf, at sim.Time) {
	find := func(list []Leaf, id kv.RangeID) *Leaf {
		i := slices.IndexFunc(list, func(l Leaf) bool { return l.Desc.RangeID == id })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	for i := range s.Tree {
		old := &s.Tree[i]
		if find(tree, old.Desc.RangeID) == nil {
			s.event(at, old.Desc.RangeID, KindMerge, "r%d is taken in by its left neighbour", old.Desc.RangeID)
		}
	}
	for i := range tree {
		now := &tree[i]
		old := find(s.Tree, now.Desc.RangeID)
		if old == nil {
			s.event(at, now.Desc.RangeID, KindSplit, "r%d begins at %s", now.Desc.RangeID, now.Desc.StartKey)
			continue
		}
		if text := s.moved(old.Desc, now.Desc); text != "" {
			s.event(at, now.Desc.RangeID, KindCopy, "r%d: %s", now.Desc.RangeID, text)
		}
		if old.Holder != now.Holder && old.Holder != 0 && now.Holder != 0 {
			s.event(at, now.Desc.RangeID, KindLease, "r%d: lease from %s to %s", now.Desc.RangeID, s.name(old.Holder), s.name(now.Holder))
		}
	}
}

// moved tells how the copies of a range differ from what they were; "" if not at all.
func (s *Survey) moved(old, now *kv.RangeDescriptor) string {
	var parts []string
	for _, rd := range now.Replicas {
		was, had := old.ReplicaByID(rd.ReplicaID)
		switch {
		case !had:
			parts = append(parts, fmt.Sprintf("copy on %s begins%s", s.name(rd.NodeID), typeOf(rd)))
		case was.Type != rd.Type:
			parts = append(parts, fmt.Sprintf("copy on %s is a %s now", s.name(rd.NodeID), role(rd)))
		}
	}
	for _, rd := range old.Replicas {
		if _, has := now.ReplicaByID(rd.ReplicaID); !has {
			parts = append(parts, fmt.Sprintf("copy on %s is removed", s.name(rd.NodeID)))
		}
	}
	return strings.Join(parts, ", ")
}

func role(rd kv.ReplicaDescriptor) string {
	return [...]string{kv.VoterFull: "voter", kv.VoterIncoming: "voter of the new half", kv.VoterOutgoing: "voter of the old half",
		kv.VoterDemoting: "voter of the old half, to be a learner", kv.Learner: "learner", kv.NonVoter: "non-voter"}[rd.Type]
}

func typeOf(rd kv.ReplicaDescriptor) string {
	if rd.Type == kv.VoterFull {
		return ""
	}
	return " as a " + role(rd)
}

func (s *Survey) event(at sim.Time, id kv.RangeID, kind, format string, args ...any) {
	if len(s.Events) == maxEvents {
		s.Unsaid++
		return
	}
	s.Events = append(s.Events, Event{At: at, Range: id, Kind: kind, Text: fmt.Sprintf(format, args...)})
}
