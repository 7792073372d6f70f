package cluster

import (
	"errors"
	"fmt"
	"testing"

	"simulacrum/db/kv"
	"simulacrum/workloads"
)

// Only a commit leaves an outcome open: what was sent before it may have been done, but
// without it nothing is committed. The database's error stays within, since the loop
// that begins a transaction anew looks for it.
func TestErrorsOfTransactions(t *testing.T) {
	ambiguous := kv.AmbiguousError(nil, "no answer")
	lost := kv.AbortedError(kv.AbortGatewayLost, "no answer")
	for i, c := range []struct {
		err        error
		committing bool
		class      error
	}{
		{ambiguous, true, workloads.ErrAmbiguous},
		{ambiguous, false, workloads.ErrFailed},
		{lost, true, workloads.ErrFailed},
		{lost, false, workloads.ErrFailed},
		{&workloads.ConditionError{}, false, workloads.ErrFailed},
		{errors.New("the workload's own"), false, workloads.ErrFailed},
		{fmt.Errorf("wrapped: %w", errors.Join(workloads.ErrFailed, lost)), false, workloads.ErrFailed},
	} {
		got := txnError(c.err, c.committing)
		other := workloads.ErrFailed
		if c.class == other {
			other = workloads.ErrAmbiguous
		}
		if !errors.Is(got, c.class) || errors.Is(got, other) || !errors.Is(got, c.err) {
			t.Errorf("%d: %v, committing %v, became %v", i, c.err, c.committing, got)
		}
		var want, have *kv.Error
		if errors.As(c.err, &want) && (!errors.As(got, &have) || have != want) {
			t.Errorf("%d: the database's own error is lost", i)
		}
	}
}
