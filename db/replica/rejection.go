package replica

// Rejection says why a command that was committed did nothing. It is a function
// of the log, hence the same on all replicas.
type Rejection uint8

// The reasons. Applied is none.
const (
	Applied              Rejection = iota
	RejectLeaseSequence            // proposed under a lease that is not the current one
	RejectLeaseIndex               // a copy applied already, or was overtaken
	RejectGCThreshold              // writes at or below what was collected
	RejectLeasePrevious            // a lease request that names another predecessor
	RejectLeaseNotMember           // a lease for a replica that the range does not have
)

var rejectionNames = [...]string{"applied", "lease sequence", "lease index", "below the GC threshold",
	"another previous lease", "not a member"}

// String names the reason.
func (r Rejection) String() string { return rejectionNames[r] }
