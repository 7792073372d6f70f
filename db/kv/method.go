package kv

// Method says what a request asks for. Values are part of the encoding.
type Method uint8

// The methods. TruncateLog is reserved: it has a number so that traces and stored commands
// keep theirs, and no request type yet.
const (
	Get Method = iota + 1
	Put
	ConditionalPut
	Increment
	Delete
	Scan
	ReverseScan
	TransferLease // to the leaseholder: hand the lease to another replica
	RequestLease  // to any replica: acquire the lease, if that is allowed
	TruncateLog
	AdminSplit          // to the leaseholder: divide the range at a key
	AdminMerge          // to the leaseholder: take in the range to the right
	AdminChangeReplicas // to the leaseholder: add, remove or turn replicas
	InitPut
	DeleteRange
	Refresh
	RefreshRange
	QueryIntent
	QueryTxn
	PushTxn
	RecoverTxn
	HeartbeatTxn
	EndTxn
	ResolveIntent
	ResolveIntentRange
	GC
	RangeStats // to the leaseholder: how large the range is, and how busy
	Subsume    // to the leaseholder of a right side: serve nothing more until the merge is known
	numMethods
)

type methodFlags uint8

const (
	flagRead   methodFlags = 1 << iota // looks at data
	flagWrite                          // changes data
	flagSpan                           // takes a span, which may be divided
	flagAdmin                          // is alone in its batch and is not evaluated against data
	flagLimit                          // can be limited and resumed
	flagIntent                         // leaves an intent, if it is a transaction's
	flagTxn                            // is a transaction's
	flagRepeat                         // has the same effect when sent twice
)

var methods = [numMethods]struct {
	name  string
	flags methodFlags
}{
	Get:                 {"Get", flagRead | flagRepeat},
	Put:                 {"Put", flagWrite | flagIntent},
	ConditionalPut:      {"ConditionalPut", flagRead | flagWrite | flagIntent},
	Increment:           {"Increment", flagRead | flagWrite | flagIntent},
	Delete:              {"Delete", flagRead | flagWrite | flagIntent},
	Scan:                {"Scan", flagRead | flagSpan | flagLimit | flagRepeat},
	ReverseScan:         {"ReverseScan", flagRead | flagSpan | flagLimit | flagRepeat},
	TransferLease:       {"TransferLease", flagAdmin},
	RequestLease:        {"RequestLease", flagAdmin},
	TruncateLog:         {"TruncateLog", flagAdmin},
	AdminSplit:          {"AdminSplit", flagAdmin | flagRepeat},
	AdminMerge:          {"AdminMerge", flagAdmin},
	AdminChangeReplicas: {"AdminChangeReplicas", flagAdmin},
	InitPut:             {"InitPut", flagRead | flagWrite | flagIntent},
	DeleteRange:         {"DeleteRange", flagRead | flagWrite | flagIntent | flagSpan | flagLimit},
	Refresh:             {"Refresh", flagRead | flagTxn | flagRepeat},
	RefreshRange:        {"RefreshRange", flagRead | flagTxn | flagSpan | flagRepeat},
	QueryIntent:         {"QueryIntent", flagRead | flagRepeat},
	QueryTxn:            {"QueryTxn", flagRead | flagRepeat},
	PushTxn:             {"PushTxn", flagWrite | flagRepeat},
	RecoverTxn:          {"RecoverTxn", flagWrite | flagRepeat},
	HeartbeatTxn:        {"HeartbeatTxn", flagWrite | flagTxn | flagRepeat},
	EndTxn:              {"EndTxn", flagWrite | flagTxn},
	ResolveIntent:       {"ResolveIntent", flagWrite | flagRepeat},
	ResolveIntentRange:  {"ResolveIntentRange", flagWrite | flagSpan | flagLimit | flagRepeat},
	GC:                  {"GC", flagWrite | flagRepeat},
	RangeStats:          {"RangeStats", flagAdmin | flagRepeat},
	Subsume:             {"Subsume", flagAdmin | flagRepeat},
}

func (m Method) has(f methodFlags) bool { return m < numMethods && methods[m].flags&f != 0 }

// String is the method's name.
func (m Method) String() string {
	if m < numMethods && methods[m].name != "" {
		return methods[m].name
	}
	return "Unknown"
}

// ReadsOnly reports that the method looks at data and changes none, so that it
// may be sent again whatever became of the first time.
func (m Method) ReadsOnly() bool { return m.has(flagRead) && !m.has(flagWrite) }

// Reads reports that the outcome depends on data, which later writes must not
// change underneath.
func (m Method) Reads() bool { return m.has(flagRead) }

// Writes reports that the method changes data.
func (m Method) Writes() bool { return m.has(flagWrite) }

// Admin reports that the method is about the range itself, not its data.
func (m Method) Admin() bool { return m.has(flagAdmin) }

// Ranged reports that the method takes a span, which may be divided among ranges.
func (m Method) Ranged() bool { return m.has(flagSpan) }

// Limited reports that the method takes a span that limits may cut short.
func (m Method) Limited() bool { return m.has(flagLimit) }

// Intents reports that the method leaves intents if a transaction sends it.
func (m Method) Intents() bool { return m.has(flagIntent) }

// NeedsTxn reports that only a transaction may send the method.
func (m Method) NeedsTxn() bool { return m.has(flagTxn) }

// Repeatable reports that the method has the same effect when it is sent twice,
// whoever sends it. Intents of a transaction may be sent twice too: they are told
// apart by their sequence.
func (m Method) Repeatable() bool { return m.has(flagRepeat) }
