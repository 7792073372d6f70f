package checker

import (
	"fmt"
	"sort"
	"strings"
)

// Valid is the outcome of a check.
type Valid uint8

const (
	// Unknown: not decided. The zero Valid: what nobody decided is never a pass.
	Unknown Valid = iota
	// OK: decided, and nothing is wrong.
	OK
	// Vacuous: nothing is wrong, but too little happened for that to mean much.
	Vacuous
	// Violation: a promise was broken, and the verdict shows by which operations.
	Violation
)

var validNames = [...]string{Unknown: "unknown", OK: "ok", Vacuous: "vacuous", Violation: "violation"}

// String is the name used in files: ok, violation, unknown, vacuous.
func (v Valid) String() string {
	if int(v) < len(validNames) {
		return validNames[v]
	}
	return fmt.Sprintf("valid(%d)", uint8(v))
}

// ParseValid is the inverse of String.
func ParseValid(s string) (Valid, error) {
	for i, n := range validNames {
		if n == s {
			return Valid(i), nil
		}
	}
	return Unknown, fmt.Errorf("verdict %q is not ok, violation, unknown or vacuous", s)
}

// MarshalText implements encoding.TextMarshaler.
func (v Valid) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Valid) UnmarshalText(b []byte) (err error) {
	*v, err = ParseValid(string(b))
	return err
}

// rank orders outcomes from best to worst: a violation is worse than not knowing,
// which is worse than having tested nothing.
func (v Valid) rank() int {
	switch v {
	case OK:
		return 0
	case Vacuous:
		return 1
	case Violation:
		return 3
	}
	return 2
}

// Count is one number that a verdict rests on.
type Count struct {
	Name string `json:"name"`
	N    int64  `json:"n"`
}

// Verdict is what one check concluded.
type Verdict struct {
	// Check is the name of the check: "register", "porcupine", "witness" …
	Check string `json:"check"`
	Valid Valid  `json:"valid"`
	// Summary is one line.
	Summary string `json:"summary"`
	// Counts say how much the verdict rests on, in a fixed order.
	Counts []Count `json:"counts,omitempty"`
	// Details explain: paragraphs of plain text, the first violation first.
	Details []string `json:"details,omitempty"`
	// Ops are the ids of the operations that prove a violation.
	Ops []int `json:"ops,omitempty"`
	// Figures are examples of a violation, the one to begin with first.
	Figures []Figure `json:"figures,omitempty"`
	// Confirmed says which evidence somebody other than the check has confirmed;
	// empty when nobody did.
	Confirmed string `json:"confirmed,omitempty"`
	// Certificate is the evidence of a pass: the ids of the operations in a serial
	// order that explains what each saw. Nil when there is none to give.
	Certificate []int `json:"-"`
}

// Worst is the worst outcome among verdicts. Nothing judged is Vacuous.
func Worst(vs ...Verdict) Valid {
	if len(vs) == 0 {
		return Vacuous
	}
	w := OK
	for _, v := range vs {
		if v.Valid.rank() > w.rank() {
			w = v.Valid
		}
	}
	return w
}

// String prints a verdict for reading: the line, the counts, the explanation.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s %s: %s\n", v.Valid, v.Check, v.Summary)
	for i, c := range v.Counts {
		if i == 0 {
			b.WriteString("          ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", c.Name, c.N)
	}
	if len(v.Counts) > 0 {
		b.WriteByte('\n')
	}
	if v.Confirmed != "" {
		fmt.Fprintf(&b, "          confirmed: %s\n", v.Confirmed)
	}
	for _, d := range v.Details {
		b.WriteString("    " + strings.ReplaceAll(d, "\n", "\n    ") + "\n")
	}
	return b.String()
}

// Count returns a named count of a verdict, 0 when it has none.
func (v Verdict) Count(name string) int64 {
	for _, c := range v.Counts {
		if c.Name == name {
			return c.N
		}
	}
	return 0
}

// maxDetails bounds the explanations of one verdict; what is left out is counted.
const maxDetails = 8

// problem is one thing found wrong, before it becomes part of a verdict.
type problem struct {
	when int64 // the virtual time at which it became evident
	key  string
	text string
	ops  []int
}

// report turns problems into the details and witnesses of a verdict, in order of
// the time at which each became evident; the first is its figure.
func (v *Verdict) report(ps []problem) {
	sort.SliceStable(ps, func(i, j int) bool {
		a, b := &ps[i], &ps[j]
		if a.when != b.when {
			return a.when < b.when
		}
		if a.key != b.key {
			return a.key < b.key
		}
		return a.text < b.text
	})
	seen := map[int]bool{}
	var figures []Figure
	for i, p := range ps {
		if i == maxDetails {
			v.Details = append(v.Details, fmt.Sprintf("%d further problems are not shown.", len(ps)-i))
			break
		}
		v.Details = append(v.Details, p.text)
		if len(p.ops) > 0 {
			caption, _, _ := strings.Cut(p.text, "\n")
			figures = append(figures, Figure{Name: v.Check, Caption: caption, Ops: p.ops})
		}
		for _, id := range p.ops {
			if !seen[id] {
				seen[id] = true
				v.Ops = append(v.Ops, id)
			}
		}
	}
	if len(figures) > 0 {
		v.Illustrate(figures[:1])
	}
}

// plural prints a number with its noun: "1 key", "3 keys".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
