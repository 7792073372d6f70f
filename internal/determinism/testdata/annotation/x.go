// Claim: an annotation with a reason silences its line or the next; one without a
// reason silences nothing and is reported, as is one with nothing to silence.
package annotation

func loops(m map[int]func()) {
	//determinism:ok each closes something else, and closing commutes
	for _, f := range m {
		f()
	}
	for _, f := range m { //determinism:ok the same
		f()
	}
	//determinism:ok
	for _, f := range m { // want "range over a map" want:-1 "gives no reason"
		f()
	}
	//determinism:ok there is nothing here
	_ = len(m) // want:-1 "silences nothing"
}
