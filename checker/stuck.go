package checker

import (
	"fmt"
	"sort"
	"strings"

	"github.com/anishathalye/porcupine"

	"simulacrum/checker/history"
)

// maxNeighbours is how many operations an explanation shows beside the one that
// fits nowhere, and maxGuesses how many other answers it tries.
const (
	maxNeighbours = 6
	maxGuesses    = 24
)

// stuck explains why a search found no order: it names the first answer after
// which there is none. A history cut at an answer keeps an order when the longer
// one has it, so halving finds that answer. It returns nothing where a shorter
// search ran out of steps.
func (k *searchKey) stuck(maxSteps int) (text string, ops []int) {
	ends := k.answered()
	broken := func(n int) bool {
		steps := 0
		p := k.until(ends[n].Return)
		return !porcupine.CheckOperations(p.model(&steps, maxSteps), p.ops) && steps <= maxSteps
	}
	if len(ends) == 0 || !broken(len(ends)-1) {
		return "", nil
	}
	n := sort.Search(len(ends), broken)
	last := ends[n]
	in := last.Input.(*searchInput)
	ops = []int{in.op.ID}
	text = fmt.Sprintf("Until just before the answer to op %d there is one, and with it there is none:\n  %s", in.op.ID, in.op)
	if could := k.couldFind(last, maxSteps); could != "" {
		text += "\n" + could
	}
	shown := k.before(last)
	if len(shown) > 0 {
		text += "\nWhat wrote last, or was at work:"
	}
	for _, o := range shown {
		op := o.Input.(*searchInput).op
		text += "\n  " + op.String()
		ops = append(ops, op.ID)
	}
	return text, ops
}

// answered are the operations with an answer, in its order.
func (k *searchKey) answered() []porcupine.Operation {
	var ends []porcupine.Operation
	for _, o := range k.ops {
		if o.Return != history.Never {
			ends = append(ends, o)
		}
	}
	sort.SliceStable(ends, func(i, j int) bool { return ends[i].Return < ends[j].Return })
	return ends
}

// couldFind tries what else a read could have found, among all that was written
// before it ended.
func (k *searchKey) couldFind(last porcupine.Operation, maxSteps int) string {
	in := last.Input.(*searchInput)
	if len(in.actions) != 1 || in.actions[0].F != history.Read {
		return ""
	}
	type guess struct {
		found  history.Value
		pruned []porcupine.Operation
	}
	guesses := []guess{{found: k.inits}}
	tried := map[string]bool{k.inits.String(): true}
	// A pruned write was one that nobody saw; whoever guesses its value saw it.
	for i, o := range append(append([]porcupine.Operation{}, k.ops...), k.pruned...) {
		for _, a := range o.Input.(*searchInput).actions {
			switch {
			case o.Call > last.Return:
			case a.F == history.Increment, a.F == history.Append:
				return "" // what there was is a sum of many, and no single one's
			case a.F.Writes() && !tried[a.Arg.String()]:
				tried[a.Arg.String()] = true
				g := guess{found: a.Arg}
				if i >= len(k.ops) {
					g.pruned = append(g.pruned, o)
				}
				guesses = append(guesses, g)
			}
		}
	}
	if len(guesses) > maxGuesses {
		return ""
	}
	p := k.until(last.Return)
	var could []string
	for _, g := range guesses {
		a := in.actions[0]
		a.Result = g.found
		with := &searchKey{key: p.key, inits: p.inits, ops: append(append([]porcupine.Operation{}, p.ops...), g.pruned...)}
		for i := range with.ops {
			if with.ops[i].Input.(*searchInput).op.ID == in.op.ID {
				with.ops[i].Input = &searchInput{in.op, []history.Action{a}}
			}
		}
		steps := 0
		if porcupine.CheckOperations(with.model(&steps, maxSteps), with.ops) {
			could = append(could, g.found.String())
		}
	}
	if len(could) == 0 {
		return ""
	}
	return "It could have found " + strings.Join(could, " or ") + "."
}

// before are the last writes that began before an operation ended, in the order
// of their calls.
func (k *searchKey) before(last porcupine.Operation) []porcupine.Operation {
	id := last.Input.(*searchInput).op.ID
	var out []porcupine.Operation
	for _, o := range append(append([]porcupine.Operation{}, k.ops...), k.pruned...) {
		in := o.Input.(*searchInput)
		writes := false
		for _, a := range in.actions {
			writes = writes || a.F.Writes()
		}
		if writes && o.Call <= last.Return && in.op.ID != id && in.op.Outcome != history.Fail {
			out = append(out, o)
		}
	}
	// The ones that ended last matter most.
	sort.SliceStable(out, func(i, j int) bool { return out[i].Return < out[j].Return })
	if len(out) > maxNeighbours {
		out = out[len(out)-maxNeighbours:]
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Call < out[j].Call })
	return out
}
