package main

// newRunner is the runner of this build. It holds no scenario yet, and says so.
func newRunner() runner { return empty{} }

// empty is a build without scenarios.
type empty struct{}

func (empty) Scenarios() []string { return nil }

func (empty) Catalog() []section { return nil }

func (empty) Check(q request) error {
	return &usageError{What: "no scenario " + q.Scenario + " in this build"}
}

func (e empty) Run(q request) (*result, error) { return nil, e.Check(q) }
