package main

import (
	"fmt"
	"slices"
)

// compare makes q's run again and says how it differs from first, "" if it does
// not. Where checkpoints tell the stretch in which the traces part, two more runs
// record it, to name the event.
func (a *app) compare(q request, first *result) (string, error) {
	q.Out, q.Log = "", nil // the first run has written the files
	second, err := a.try(q)
	if err != nil {
		return "", err
	}
	if second.Internal != "" {
		return "the second run ended with an internal error, the first did not: " + second.Internal, nil
	}
	if first.Trace == second.Trace && first.Events == second.Events && sameVerdicts(first, second) {
		return "", nil
	}
	head := fmt.Sprintf("first run: trace %s after %d events; second run: trace %s after %d events", first.Trace, first.Events, second.Trace, second.Events)
	if first.Trace == second.Trace && first.Events == second.Events {
		return head + "; the traces agree and the verdicts do not: a check is not a function of the history", nil
	}
	q.Record = parting(first, second)
	var sides [2]*result
	for i := range sides {
		if sides[i], err = a.try(q); err != nil {
			return "", err
		}
	}
	return head + "\n" + firstDifference(sides[0].Recorded, sides[1].Recorded, *q.Record), nil
}

func sameVerdicts(a, b *result) bool {
	return slices.EqualFunc(a.Verdicts, b.Verdicts, func(v, w verdict) bool { return v.Check == w.Check && v.Verdict == w.Verdict })
}

// parting is the stretch of events from the last checkpoint that agrees to the
// first that does not.
func parting(a, b *result) *window {
	n := 0
	for n < len(a.Checkpoints) && n < len(b.Checkpoints) && a.Checkpoints[n] == b.Checkpoints[n] {
		n++
	}
	w := &window{From: uint64(n) * a.Spacing, To: max(a.Events, b.Events) + 1}
	if n < len(a.Checkpoints) && n < len(b.Checkpoints) {
		w.To = uint64(n+1)*a.Spacing + 1
	}
	return w
}

// firstDifference names the first event that differs, and both sides.
func firstDifference(a, b []event, w window) string {
	for i := range max(len(a), len(b)) {
		left, right := eventAt(a, i), eventAt(b, i)
		if left != right {
			before := ""
			if i > 0 {
				before = "\n  after:  " + a[i-1].Text
			}
			return fmt.Sprintf("first difference:%s\n  one:    %s\n  other:  %s", before, describe(left), describe(right))
		}
	}
	return fmt.Sprintf("two more runs, recorded between events %d and %d, agreed there: the difference does not come every time", w.From, w.To)
}

func eventAt(list []event, i int) event {
	if i < len(list) {
		return list[i]
	}
	return event{}
}

func describe(e event) string {
	if e == (event{}) {
		return "the run has ended"
	}
	return fmt.Sprintf("%s (trace %016x)", e.Text, e.Hash)
}
