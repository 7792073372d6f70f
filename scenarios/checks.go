package scenarios

// CheckDoc is a check that runs are judged by.
type CheckDoc struct{ Name, Doc string }

// CheckDocs lists what runs are judged by, whatever their workload.
func CheckDocs() []CheckDoc {
	return []CheckDoc{
		{"panics", "no code of the database panicked"},
		{"vacuity", "each kind of operation succeeded"},
		{"well-formed", "each answer had the shape of its question"},
		{"register", "each key is linearizable: one linear sweep along the versions' timestamps"},
		{"porcupine", "the same by search, for a sample of keys and for those without an order"},
		{"agreement", "the two do not contradict each other (else: an internal error)"},
		{"witness", "each read found the newest version at or below its timestamp, among those that were applied"},
		{"counter", "each acknowledged increment counts exactly once"},
		{"set", "each acknowledged element is there at the end, none twice, none that nobody added"},
		{"invariants", "replicas apply the same commands, hold the same bytes at the same index, and leases do not overlap"},
		{"convergence", "after the last write all replicas reach the same index (liveness)"},
		{"liveness", "every key is served within the bound once everything has healed (liveness)"},
		{"availability", "how well clients were served; never fails"},
	}
}
