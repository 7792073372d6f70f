package rpc

import (
	"errors"
	"fmt"
	"time"
)

// Error is why a call has no answer.
type Error struct {
	Peer string
	// Sent is false if the peer's handler certainly never saw the request and never
	// will. If it is true, the handler may have run, or may yet run.
	Sent  bool
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Sent {
		return fmt.Sprintf("call to %s, outcome unknown: %v", e.Peer, e.Cause)
	}
	return fmt.Sprintf("call to %s, not sent: %v", e.Peer, e.Cause)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// MaybeSent reports that the request that ended in err may have been handled. An
// error of unknown origin counts as such.
func MaybeSent(err error) bool {
	var e *Error
	return !errors.As(err, &e) || e.Sent
}

// Causes of an Error, beside those of env.
var (
	ErrOverloaded  = errors.New("peer is overloaded")
	ErrUnknownKind = errors.New("peer does not know this kind of call")
	ErrExpired     = errors.New("deadline passed before the call was handled")
	ErrNoAnswer    = errors.New("peer has no answer")
	ErrPingTimeout = errors.New("pings are not answered")
	ErrQueueFull   = errors.New("too much waits for the connection")
	ErrIdle        = errors.New("connection closed, having been idle")
	ErrProtocol    = errors.New("unexpected frame")
	ErrStopped     = errors.New("node is stopping")
)

// BackoffError says that a connection could not be made lately, and that it is too
// early to try again.
type BackoffError struct {
	Last error
	Left time.Duration
}

// Error implements error.
func (e *BackoffError) Error() string {
	return fmt.Sprintf("next attempt to connect in %s; last one: %v", e.Left, e.Last)
}

// Unwrap gives the error of the last attempt.
func (e *BackoffError) Unwrap() error { return e.Last }

// rejection is why a server did not answer a request. Values are part of the
// encoding.
type rejection uint8

const (
	rejectOverloaded rejection = iota + 1
	rejectUnknownKind
	rejectExpired
	rejectNoAnswer
	numRejections
)

// err is what the caller gets. All but the last were decided before a handler ran.
func (r rejection) err(peer string) *Error {
	switch r {
	case rejectOverloaded:
		return &Error{Peer: peer, Cause: ErrOverloaded}
	case rejectUnknownKind:
		return &Error{Peer: peer, Cause: ErrUnknownKind}
	case rejectExpired:
		return &Error{Peer: peer, Cause: ErrExpired}
	}
	return &Error{Peer: peer, Sent: true, Cause: ErrNoAnswer}
}
