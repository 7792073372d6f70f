package checker

// Finding is one thing found wrong, for the checks that live in rooms below this
// one. When is the virtual time at which it became evident, Ops are the ids of
// the operations that prove it.
type Finding struct {
	When int64
	Key  string
	Text string
	Ops  []int
}

// Report turns findings into the details and witnesses of a verdict, earliest
// first; what is too much to show is counted.
func (v *Verdict) Report(fs []Finding) {
	ps := make([]problem, len(fs))
	for i, f := range fs {
		ps[i] = problem{when: f.When, key: f.Key, text: f.Text, ops: f.Ops}
	}
	v.report(ps)
}

// Plural prints a number with its noun: "1 key", "3 keys".
func Plural(n int, noun string) string { return plural(n, noun) }
