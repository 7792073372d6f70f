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
		{"list-append", "transactions on lists are serializable, by the dependencies that their reads prove"},
		{"rw-register", "the same of transactions on registers, with the stored versions for their order"},
		{"transaction-witness", "each transaction read what was there at its timestamp, among the versions that were applied"},
		{"transactions-agreement", "the dependencies and the timestamps do not contradict each other (else: an internal error)"},
		{"evidence", "serial orders replay and cycles can be derived again, by other code (else: an internal error)"},
		{"strict", "transactions that wait for their commits have an order in real time across keys, by search"},
		{"bank", "whoever sees all accounts sees their total, and none below zero"},
		{"long-fork", "nobody sees two writes in the order opposite to another's"},
		{"g2", "of those who insert where they find nothing, one succeeds"},
		{"monotonic", "values rise with their timestamps"},
		{"sequential", "who sees a later write of one client through one gateway sees its earlier ones"},
		{"causal-reverse", "counts orders that go against real time across keys; never fails"},
		{"invariants", "replicas apply the same commands, hold the same bytes at the same index, and leases do not overlap"},
		{"convergence", "after the last write all replicas reach the same index (liveness)"},
		{"deadlocks", "once everything has healed no transactions wait for each other for longer than it takes to notice (liveness)"},
		{"liveness", "every key is served within the bound once everything has healed (liveness)"},
		{"unserved", "no key goes unserved for longer than the bound while a quorum of every range lives (liveness)"},
		{"placement", "once everything has healed each range has its copies where they belong within the bound (liveness)"},
		{"recovery", "how long requests waited after nodes, zones and regions were lost; never fails"},
		{"availability", "how well clients were served; never fails"},
	}
}
