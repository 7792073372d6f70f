package checker

// Figure is one example of what a check found wrong, for a page that explains it:
// the operations themselves a page takes from the history.
type Figure struct {
	// Name is what people call it: "G-single", or the name of the check.
	Name string `json:"name"`
	// Doc says what the name means, and Caption what happened here.
	Doc     string `json:"doc,omitempty"`
	Caption string `json:"caption"`
	// Times counts how often this name was found; 0 means that nobody counted.
	Times int64 `json:"times,omitempty"`
	// Ops are the ids of the operations that take part, in the order of the telling.
	Ops []int `json:"ops"`
	// Edges lead from operation to operation, and of a cycle back to the first.
	Edges []FigureEdge `json:"edges,omitempty"`
	// SVG is a picture of the whole: one svg element without links, scripts, styles
	// and ids. Empty when there is none.
	SVG string `json:"-"`
}

// FigureEdge says why one operation must have come before another.
type FigureEdge struct {
	From int `json:"from"`
	To   int `json:"to"`
	// Kind is the short name of the reason, Key where the two meet, Text the same in
	// words.
	Kind string `json:"kind"`
	Key  string `json:"key,omitempty"`
	// Via is the operation whose read shows the order of two writes, -1 for none.
	Via  int    `json:"via"`
	Text string `json:"text"`
}

// maxFigures bounds the examples of one verdict.
const maxFigures = 8

// Illustrate replaces the figures that a verdict has, keeping the first ones.
func (v *Verdict) Illustrate(fs []Figure) { v.Figures = fs[:min(len(fs), maxFigures)] }
