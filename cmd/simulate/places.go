package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"simulacrum/checker/report"
	"simulacrum/db/keys"
	"simulacrum/scenarios"
)

// maxMoves is how many movements a report lists.
const maxMoves = 5000

// placesOf turns what was seen of copies and leases into a section of the report; nil if
// nobody looked.
func placesOf(res *scenarios.Result) *report.Places {
	s := res.Survey
	if s == nil {
		return nil
	}
	p := &report.Places{Recoveries: res.Recoveries}
	for _, m := range s.Moments {
		now := report.Moment{At: int64(m.At), Ranges: m.Ranges, Lack: m.Lacking, Down: m.Down}
		for _, l := range m.Nodes {
			now.Loads = append(now.Loads, report.Load(l))
		}
		p.Moments = append(p.Moments, now)
	}
	for _, o := range s.Outages {
		p.Outages = append(p.Outages, report.Outage{Range: fmt.Sprint("r", o.Range), From: int64(o.From), To: int64(o.To), Cause: o.Cause})
	}
	for _, e := range s.Events {
		p.Moves = append(p.Moves, report.Move{At: int64(e.At), Range: fmt.Sprint("r", e.Range), Kind: e.Kind, Text: e.Text})
	}
	for _, m := range res.Movements {
		decision, reason, _ := strings.Cut(m.Decision, " (")
		p.Moves = append(p.Moves, report.Move{At: int64(m.At), Range: fmt.Sprint("r", m.Range), Kind: "allocator",
			Text: fmt.Sprintf("s%d: %s: %s", m.Store, decision, oneLine(m.Outcome)), Reason: strings.TrimSuffix(reason, ")")})
	}
	slices.SortStableFunc(p.Moves, func(a, b report.Move) int { return cmp.Compare(a.At, b.At) })
	p.MoreMoves = s.Unsaid
	if n := len(p.Moves); n > maxMoves {
		p.Moves, p.MoreMoves = p.Moves[:maxMoves], p.MoreMoves+n-maxMoves
	}
	for _, leaf := range s.Tree {
		d := leaf.Desc
		row := report.Leaf{Range: fmt.Sprint("r", d.RangeID), Start: d.StartKey.String(), End: d.EndKey.String(), Generation: d.Generation,
			Bytes: leaf.Bytes, Index: d.StartKey.Less(keys.ClientStart)}
		for _, rd := range d.Replicas {
			row.Copies = append(row.Copies, rd.String())
		}
		if leaf.Holder != 0 {
			row.Holder = fmt.Sprint("n", leaf.Holder)
		}
		p.Tree = append(p.Tree, row)
	}
	regionOf := map[string]string{}
	var regions []string
	for _, c := range res.Topology.Clients {
		regionOf[c.Name] = c.Region
		if !slices.Contains(regions, c.Region) {
			regions = append(regions, c.Region)
		}
	}
	p.Regions = report.ByRegion(res.History, regions, regionOf)
	return p
}
