package kv

// Method says what a request asks for. Values are part of the encoding.
type Method uint8

// The methods. TruncateLog and those from AdminSplit on are reserved: they have
// numbers so that traces and stored commands keep theirs, and no request types yet.
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
	AdminSplit
	AdminMerge
	AdminChangeReplicas
	numMethods
)

type methodFlags uint8

const (
	flagRead  methodFlags = 1 << iota // looks at data
	flagWrite                         // changes data
	flagSpan                          // takes a span and can be limited and resumed
	flagAdmin                         // is alone in its batch and is not evaluated against data
)

var methods = [numMethods]struct {
	name  string
	flags methodFlags
}{
	Get:                 {"Get", flagRead},
	Put:                 {"Put", flagWrite},
	ConditionalPut:      {"ConditionalPut", flagRead | flagWrite},
	Increment:           {"Increment", flagRead | flagWrite},
	Delete:              {"Delete", flagRead | flagWrite},
	Scan:                {"Scan", flagRead | flagSpan},
	ReverseScan:         {"ReverseScan", flagRead | flagSpan},
	TransferLease:       {"TransferLease", flagAdmin},
	RequestLease:        {"RequestLease", flagAdmin},
	TruncateLog:         {"TruncateLog", flagAdmin},
	AdminSplit:          {"AdminSplit", flagAdmin},
	AdminMerge:          {"AdminMerge", flagAdmin},
	AdminChangeReplicas: {"AdminChangeReplicas", flagAdmin},
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

// Ranged reports that the method takes a span, which limits may cut short.
func (m Method) Ranged() bool { return m.has(flagSpan) }
