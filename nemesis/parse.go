package nemesis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"simulacrum/sim/env"
)

// Parse reads one line of a plan. Its errors say what to write instead.
func Parse(line string) (Fault, error) {
	words, err := split(line)
	if err != nil {
		return Fault{}, err
	}
	p := parser{words: words, f: Fault{Times: 1}}
	for _, step := range []func() error{p.trigger, p.kind, p.who, p.duration, p.params} {
		if err := step(); err != nil {
			return Fault{}, err
		}
	}
	return p.f, p.f.Validate()
}

// split cuts a line into words. A quoted string is one word, quotes included.
func split(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" {
			return words, nil
		}
		n := strings.IndexAny(line, " \t\r")
		if line[0] == '"' {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("the quotes of %s do not close: probe names stand in double quotes", line)
			}
			n = len(q)
			if n < len(line) && !strings.ContainsAny(line[n:n+1], " \t\r") {
				return nil, fmt.Errorf("leave a blank after %s", q)
			}
		}
		if n < 0 {
			n = len(line)
		}
		words, line = append(words, line[:n]), line[n:]
	}
}

type parser struct {
	words []string
	f     Fault
}

// next takes a word, or "" at the end of the line.
func (p *parser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *parser) trigger() error {
	if w := p.next(); w != "at" {
		return fmt.Errorf("a line begins with \"at\", not %q: at T+12.500s ..., or at probe \"name\" n3 #1 ...", w)
	}
	w := p.next()
	if w == "probe" {
		return p.probe()
	}
	s, ok := strings.CutPrefix(w, "T+")
	if !ok {
		return fmt.Errorf("%q is no moment: say T+12.500s, or probe \"name\" n3 #1", w)
	}
	t, err := time.ParseDuration(s)
	if err != nil || t < 0 || t > maxDuration {
		return fmt.Errorf("%q is no moment: say a time from the run's begin, such as T+12.500s", w)
	}
	p.f.At.T = t
	return nil
}

func (p *parser) probe() error {
	w := p.next()
	name, err := strconv.Unquote(w)
	if err != nil || name == "" || w[0] != '"' {
		return fmt.Errorf("%q is no name of a probe: put it in double quotes", w)
	}
	node := p.next()
	if !isName(node) {
		return fmt.Errorf("%q is no endpoint: after the probe say who reaches it, such as n3, or any", node)
	}
	w = p.next()
	digits, ok := strings.CutPrefix(w, "#")
	nth, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || nth < 1 {
		return fmt.Errorf("%q is no count: say which visit to the probe, from #1", w)
	}
	p.f.At = Trigger{Probe: env.Probe(name), Node: node, Nth: nth}
	return nil
}

func (p *parser) kind() error {
	w := p.next()
	i := slices.IndexFunc(kinds[:], func(k kindInfo) bool { return k.name == w })
	if i < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, k.name)
		}
		return fmt.Errorf("no fault is called %q: there are %s", w, strings.Join(names, ", "))
	}
	p.f.Kind = Kind(i)
	if p.f.Kind != Partition {
		return nil
	}
	w = p.next()
	for s := Halves; s < numShapes; s++ {
		if s.String() == w {
			p.f.Shape = s
			return nil
		}
	}
	return fmt.Errorf("no partition has the shape %q: there are halves, majority-ring, bridge, one-way, isolate, partial", w)
}

func (p *parser) who() error {
	if len(p.words) > 0 && p.words[0] != "for" && !strings.Contains(p.words[0], "=") {
		for _, g := range strings.Split(p.next(), "|") {
			p.f.Who = append(p.f.Who, strings.Split(g, ","))
		}
		return nil
	}
	if p.f.At.Probe != "" && p.f.Shape == NoShape {
		p.f.Who = [][]string{{p.f.At.Node}}
		return nil
	}
	if kinds[p.f.Kind].asks {
		return fmt.Errorf("%s hits nothing: name ranges, such as r3,r4 or all, or whoever holds their leases, such as n3 or region:us-east", p.f.Kind)
	}
	return fmt.Errorf("%s hits nobody: name endpoints, such as n1,n2, or region:us-east, zone:us-east/a, all", p.f.Kind)
}

func (p *parser) duration() error {
	if len(p.words) == 0 || p.words[0] != "for" {
		return nil
	}
	p.next()
	w := p.next()
	d, err := parseDuration(w, false)
	if err != nil {
		return fmt.Errorf("for %q: %w", w, err)
	}
	p.f.For = d
	return nil
}

func (p *parser) params() error {
	var seen []string
	for len(p.words) > 0 {
		w := p.next()
		name, value, ok := strings.Cut(w, "=")
		i := slices.IndexFunc(params, func(q param) bool { return q.name == name })
		if !ok || i < 0 {
			return fmt.Errorf("%q is not understood here: %s takes %s", w, p.f.Kind, p.f.Kind.takes())
		}
		if slices.Contains(seen, name) {
			return fmt.Errorf("%s is said twice: leave one", name)
		}
		seen = append(seen, name)
		if !p.f.Kind.allows(name) {
			return fmt.Errorf("%s takes no %s: it takes %s", p.f.Kind, name, p.f.Kind.takes())
		}
		if err := params[i].set(&p.f, value); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

// allows reports whether the kind takes a parameter of that name.
func (k Kind) allows(name string) bool {
	return name == "times" || name == "every" || slices.Contains(strings.Fields(kinds[k].params), name)
}

func (k Kind) takes() string {
	return strings.Join(append(strings.Fields(kinds[k].params), "times", "every"), ", ")
}

// Validate says what is wrong with a fault, and what would be right. Every fault
// that it accepts prints and parses back to itself.
func (f Fault) Validate() error {
	k := kinds[f.Kind]
	if len(f.Who) < k.min || len(f.Who) > k.max {
		return fmt.Errorf("%s takes %s, separated by |, not %d", f.Kind, groupsWord(k.min, k.max), len(f.Who))
	}
	for _, g := range f.Who {
		for _, name := range g {
			if !isSelector(name) {
				return fmt.Errorf("%q names nobody: say n1, region:us-east, zone:us-east/a or all", name)
			}
		}
		if len(g) == 0 {
			return fmt.Errorf("a group of %s is empty: name at least one endpoint", f.Kind)
		}
	}
	if err := f.At.validate(); err != nil {
		return err
	}
	if err := f.validateAny(); err != nil {
		return err
	}
	if f.For < 0 || f.For > maxDuration {
		return fmt.Errorf("for %v: say a duration above 0", f.For)
	}
	for i := range params {
		name, value := params[i].name, params[i].get(&f)
		set := value != ""
		if set {
			if err := params[i].set(new(Fault), value); err != nil {
				return fmt.Errorf("%s=%s: %w", name, value, err)
			}
		}
		if set && !f.Kind.allows(name) {
			return fmt.Errorf("%s takes no %s: it takes %s", f.Kind, name, f.Kind.takes())
		}
		if !set && slices.Contains(strings.Fields(k.needs), name) {
			return fmt.Errorf("%s needs %s=: say how much", f.Kind, name)
		}
	}
	if f.Kind == Degrade && f.Link == (LinkFault{}) {
		return fmt.Errorf("degrade needs at least one of %s", strings.Join(strings.Fields(k.params), ", "))
	}
	if !k.lasting && f.For != 0 {
		return fmt.Errorf("%s happens at once: leave out \"for\"", f.Kind)
	}
	if err := f.validateRepeats(); err != nil {
		return err
	}
	return f.validateShape()
}

func (t Trigger) validate() error {
	switch {
	case t.Probe == "" && (t.Node != "" || t.Nth != 0 || t.T < 0 || t.T > maxDuration):
		return fmt.Errorf("a fault without a probe begins at a time from T+0s, and has no endpoint or count to wait for")
	case t.Probe != "" && (!isName(t.Node) || t.Nth < 1 || t.T != 0):
		return fmt.Errorf("a fault at a probe says who reaches it and at which visit, from #1, and no time")
	}
	return nil
}

// validateAny has Any be the one that is at a probe, and no more than hit for a while: who
// leaves for good, or comes, is named beforehand, so that what is left is known.
func (f Fault) validateAny() error {
	if !slices.ContainsFunc(f.Who, func(g []string) bool { return slices.Contains(g, Any) }) {
		return nil
	}
	switch {
	case f.At.Node != Any:
		return fmt.Errorf("any is whoever reaches a probe: say at probe \"name\" any #1, or name endpoints, or all")
	case !f.hitsAny():
		return fmt.Errorf("any stands alone: leave out who else is hit")
	}
	switch f.Kind {
	case AddNode, Decommission, ReplaceNode, LoseDisk:
		return fmt.Errorf("%s needs names: nobody comes or leaves for good who happens to be at a probe", f.Kind)
	}
	return nil
}

func groupsWord(lo, hi int) string {
	switch {
	case hi == 1:
		return "one group"
	case hi == many:
		return fmt.Sprintf("%d groups or more", lo)
	}
	return fmt.Sprintf("%d to %d groups", lo, hi)
}

func (f Fault) validateRepeats() error {
	switch {
	case f.Times < 1:
		return fmt.Errorf("times=%d: a fault is done at least once", f.Times)
	case f.Times == 1 && f.Every != 0:
		return fmt.Errorf("every without times: say times=2 or more")
	case f.Times > 1 && f.Every == 0:
		return fmt.Errorf("times without every: say every=2s, from start to start")
	case f.Times > 1 && kinds[f.Kind].lasting && f.For == 0:
		return fmt.Errorf("a fault that repeats must end before: say for how long each lasts")
	case f.Times > 1 && f.For >= f.Every && f.For != 0:
		return fmt.Errorf("each lasts %v and they come every %v: make every the longer", f.For, f.Every)
	}
	return nil
}

func (f Fault) validateShape() error {
	if (f.Shape != NoShape) != (f.Kind == Partition) {
		return fmt.Errorf("a partition, and nothing else, has a shape")
	}
	n, lo, hi := len(f.Who), 1, 1
	switch f.Shape {
	case NoShape:
		return nil
	case Halves:
		lo, hi = 2, many
	case MajorityRing:
		lo, hi = 4, many
	case Bridge:
		lo, hi = 3, 3
	case OneWay:
		lo, hi = 2, 2
	case Partial:
		hi = many
		for _, g := range f.Who {
			if len(g) < 2 {
				return fmt.Errorf("partial cuts within each group: name two or more endpoints in %s", g[0])
			}
		}
	}
	if n < lo || n > hi {
		return fmt.Errorf("partition %s takes %s, separated by |, not %d", f.Shape, groupsWord(lo, hi), n)
	}
	return nil
}

// isName reports whether s can be an endpoint's name.
func isName(s string) bool {
	if s == "" || s == "for" {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// isSelector reports whether s can stand in a group.
func isSelector(s string) bool {
	if r, ok := strings.CutPrefix(s, "region:"); ok {
		return isName(r)
	}
	if z, ok := strings.CutPrefix(s, "zone:"); ok {
		r, z, ok := strings.Cut(z, "/")
		return ok && isName(r) && isName(z)
	}
	return isName(s)
}
