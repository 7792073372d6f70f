package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Constraint is one thing that a store must have, or must not have: a tier of its
// locality, or an attribute.
type Constraint struct {
	Prohibited bool
	Key        string // of a tier; "" for an attribute
	Value      string // of the tier, or the attribute
}

// String prints +region=us-east, or -ssd.
func (c Constraint) String() string {
	s := "+"
	if c.Prohibited {
		s = "-"
	}
	if c.Key != "" {
		s += c.Key + "="
	}
	return s + c.Value
}

// Holds reports that the store is as the constraint wants it.
func (c Constraint) Holds(s *Store) bool {
	has := false
	if c.Key == "" {
		has = slices.Contains(s.Attributes, c.Value)
	} else if v, ok := s.Locality.Value(c.Key); ok {
		has = v == c.Value
	}
	return has != c.Prohibited
}

// Conjunction is constraints that hold together, on as many replicas as it says.
type Conjunction struct {
	Replicas    int // how many replicas at least; 0 is each of them
	Constraints []Constraint
}

// Holds reports that the store satisfies all constraints.
func (j Conjunction) Holds(s *Store) bool { return allHold(j.Constraints, s) }

func allHold(cs []Constraint, s *Store) bool {
	for _, c := range cs {
		if !c.Holds(s) {
			return false
		}
	}
	return true
}

func joinConstraints(cs []Constraint, sep string) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = c.String()
	}
	return strings.Join(parts, sep)
}

// FormatConstraints prints what ParseConstraints reads: [+ssd, -region=x] for one
// conjunction on every replica, {"+region=a": 1, "+region=b,+ssd": 2} for some of them.
func FormatConstraints(js []Conjunction) string {
	if len(js) == 0 {
		return "[]"
	}
	if len(js) == 1 && js[0].Replicas == 0 {
		return "[" + joinConstraints(js[0].Constraints, ", ") + "]"
	}
	parts := make([]string, len(js))
	for i, j := range js {
		parts[i] = fmt.Sprintf("%q: %d", joinConstraints(j.Constraints, ","), j.Replicas)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// ParseConstraints reads constraints in either form. The quotes are optional.
func ParseConstraints(text string) ([]Conjunction, error) {
	p := parser{text: text}
	var out []Conjunction
	if p.peek() == '{' {
		out = p.counted()
	} else if cs := p.list(); len(cs) > 0 {
		out = []Conjunction{{Constraints: cs}}
	}
	return out, p.end()
}

// FormatPreferences prints [[+region=a,+ssd], [+region=b]].
func FormatPreferences(prefs [][]Constraint) string {
	parts := make([]string, len(prefs))
	for i, cs := range prefs {
		parts[i] = "[" + joinConstraints(cs, ", ") + "]"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// ParsePreferences reads lease preferences, the most wanted first.
func ParsePreferences(text string) ([][]Constraint, error) {
	p := parser{text: text}
	var out [][]Constraint
	p.expect('[', "a list of lists, such as [[+region=us-east]]")
	for p.more(']', len(out)) {
		at := p.at
		cs := p.list()
		if len(cs) == 0 {
			p.failAt(at, "an empty preference matches every store; remove it, or name what is preferred")
		}
		out = append(out, cs)
	}
	return out, p.end()
}

// parser reads constraints. The first error stays, with its place; after it everything
// reads as ended.
type parser struct {
	text string
	at   int
	err  error
}

func (p *parser) failAt(at int, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("at character %d of %q: %s", at+1, p.text, fmt.Sprintf(format, args...))
	}
	p.at = len(p.text)
}

// peek is the next byte that is no blank, or 0.
func (p *parser) peek() byte {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\n') {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) expect(b byte, remedy string) {
	if p.peek() != b {
		p.failAt(p.at, "%q is missing; write %s", b, remedy)
		return
	}
	p.at++
}

// more reports that another element follows, of which n have been read, and passes the
// comma before it, or passes the closing byte.
func (p *parser) more(closing byte, n int) bool {
	if p.err != nil {
		return false
	}
	if p.peek() == closing {
		p.at++
		return false
	}
	if n > 0 {
		p.expect(',', fmt.Sprintf("a comma between elements, and %q at the end", closing))
	}
	return p.err == nil
}

func (p *parser) end() error {
	if p.err == nil && p.peek() != 0 {
		p.failAt(p.at, "%q is left over; remove it", p.text[p.at:])
	}
	return p.err
}

// list reads [+a, -b=c].
func (p *parser) list() []Constraint {
	var out []Constraint
	p.expect('[', "a list, such as [+region=us-east, -ssd], or for a part of the replicas {\"+region=us-east\": 1}")
	for p.more(']', len(out)) {
		out = p.constraint(out)
	}
	return out
}

// counted reads {"+a,+b=c": 2, ...}.
func (p *parser) counted() []Conjunction {
	var out []Conjunction
	p.expect('{', "a map")
	for p.more('}', len(out)) {
		at := p.at
		j := Conjunction{Constraints: p.quoted()}
		p.expect(':', "the number of replicas after a colon, such as {\"+region=us-east\": 1}")
		j.Replicas = p.number()
		for _, other := range out {
			if slices.Equal(other.Constraints, j.Constraints) {
				p.failAt(at, "%s stands twice; give it one number", joinConstraints(j.Constraints, ","))
			}
		}
		out = append(out, j)
	}
	if len(out) == 0 && p.err == nil {
		p.failAt(p.at-1, "no constraint in the map; write [] for none")
	}
	return out
}

// quoted reads one or more constraints with commas between them, within quotes or not.
func (p *parser) quoted() []Constraint {
	quote := p.peek()
	if quote == '"' || quote == '\'' {
		p.at++
	} else {
		quote = 0
	}
	out := p.constraint(nil)
	for p.peek() == ',' {
		p.at++
		out = p.constraint(out)
	}
	if quote != 0 {
		p.expect(quote, "the closing quote")
	}
	return out
}

func (p *parser) constraint(before []Constraint) []Constraint {
	b, at := p.peek(), p.at
	if b != '+' && b != '-' {
		p.failAt(p.at, "a constraint begins with + (required) or - (prohibited); write +region=us-east or -ssd")
		return before
	}
	p.at++
	c := Constraint{Prohibited: b == '-', Value: p.word()}
	if p.at < len(p.text) && p.text[p.at] == '=' {
		p.at++
		c.Key, c.Value = c.Value, p.word()
	}
	for _, other := range before {
		if other.Key != c.Key {
			continue
		}
		switch {
		case other == c:
			p.failAt(at, "%s stands twice; remove one", c)
		case other.Value == c.Value:
			p.failAt(at, "%s contradicts %s; no store can be both", c, other)
		case c.Key != "" && !other.Prohibited && !c.Prohibited:
			p.failAt(at, "%s contradicts %s; a store has one %s", c, other, c.Key)
		}
	}
	return append(before, c)
}

func (p *parser) word() string {
	from := p.at
	for p.at < len(p.text) && wordByte(p.text[p.at]) {
		p.at++
	}
	if w := p.text[from:p.at]; p.err != nil || isWord(w) {
		return w
	}
	p.failAt(from, "a name is missing; names are letters, digits and _ . / -, and begin with no -")
	return ""
}

func (p *parser) number() int {
	p.peek()
	from := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	n, err := strconv.Atoi(p.text[from:p.at])
	if p.err == nil && (err != nil || n < 1 || n > maxReplicas) {
		p.failAt(from, "the number of replicas is %q; it lies between 1 and %d", p.text[from:p.at], maxReplicas)
	}
	return n
}
