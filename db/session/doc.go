// Package session lets clients outside the cluster converse in transactions. The
// coordinator of a transaction lives on the gateway node, beside the ranges and the
// clock; the client has a session there, in which it asks for one step after the other.
//
//	client                                gateway node, one incarnation of it
//	kv.DB --> Remote --> Txn ---step n--> Gateway --> session --> kv.TxnSender (kvclient)
//	                         <--answer--              | last step, and the answer to it
//	                                                  | idle: rolled back
//	                                                  | ended: remembered, then forgotten
//
// A session's identity is chosen by the client, and its steps are numbered, so that a
// step that arrives twice is executed once: the gateway executes the step after the
// last, answers the last one from memory (or, while it is being executed, when it is
// done), and refuses all others. That is what makes it safe to ask again, after a broken
// connection, even for a commit.
//
// The first step begins the session. To a gateway that is not known to answer it is sent
// by itself, and with little patience, so that another can be asked; to one that is, the
// beginning goes with the first batch, which saves a round trip. Asked for again it begins
// nothing: the session that it began may be over, and forgotten.
//
// A session is bound to one incarnation of its gateway, which every answer names. What
// happens when that is lost depends on what was asked for last:
//
//   - A commit that may have been executed: the outcome is Ambiguous, for ever. Nothing
//     is inferred from what is found later.
//   - Anything else: no commit was executed and none will be, because the client sends
//     none. The error is TransactionAborted with kv.AbortGatewayLost, and Retryable: the
//     loop of kv.DB.TxnWith calls Restart, which begins a new transaction in a new
//     session, at the gateway that the client has chosen meanwhile. A transaction whose
//     client chose the timestamp is not begun anew, as after any other error.
//
// Rejected: to carry a transaction's state in the client, so that any gateway could go
// on with it. Its locks would live and die with the client's heartbeats, across whatever
// lies between the client and the cluster, and its timestamps would come from a clock
// that nobody watches.
//
// Fault model: messages are lost, late, repeated; gateways crash, stop and are cut off;
// clients vanish in the middle, and come back as another incarnation. Promised
// nevertheless: a step is executed at most once, and only after all steps before it; an
// error that is not Ambiguous means that the transaction has not committed, and will not
// unless the client goes on with it. A session whose client says nothing for longer than
// session.idle, or for session.grace after a connection of it broke, or has come back as
// another incarnation, is rolled back. A gateway keeps
// no more than session.max sessions, and forgets an ended one after session.remember. A
// node that stops begins none, gives those that are open session.drain to end, and rolls
// back the rest.
package session
