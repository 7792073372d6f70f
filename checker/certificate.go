package checker

import (
	"encoding/json"
	"io"
)

// certificate is the evidence of one verdict, for somebody else to confirm.
type certificate struct {
	Check     string   `json:"check"`
	Valid     Valid    `json:"valid"`
	Confirmed string   `json:"confirmed,omitempty"`
	Order     []int    `json:"order,omitempty"`
	Cycles    []Figure `json:"cycles,omitempty"`
}

// certify collects the evidence: of a pass the serial order, of a violation the
// examples whose edges can be derived again.
func (v Verdict) certify() certificate {
	c := certificate{Check: v.Check, Valid: v.Valid, Confirmed: v.Confirmed, Order: v.Certificate}
	for _, f := range v.Figures {
		if len(f.Edges) > 0 {
			c.Cycles = append(c.Cycles, f)
		}
	}
	return c
}

// Certified tells whether a verdict has evidence to give.
func (v Verdict) Certified() bool {
	c := v.certify()
	return len(c.Order)+len(c.Cycles) > 0
}

// WriteCertificates writes the evidence of all verdicts that have any, as a JSON
// list in which operations go by their ids. Equal verdicts give equal bytes.
func WriteCertificates(w io.Writer, vs []Verdict) error {
	all := []certificate{}
	for _, v := range vs {
		if v.Certified() {
			all = append(all, v.certify())
		}
	}
	return json.NewEncoder(w).Encode(all)
}
