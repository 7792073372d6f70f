// Package rpc carries calls and one-way messages between processes over env's
// network, measures how far away and how far off in time its peers are, and keeps
// the hybrid clocks of the cluster together.
//
//	        Call / Send                                    handlers
//	             |                                         ^      ^
//	   peer n2:  |  one link for each class                | task | callback
//	+------------v-------------+                     +-----+------+-----+
//	| system   [ping ping    ] |=====connection=====>| answers pings    |
//	| default  [calls        ] |=====connection=====>| admits, or       |
//	| raft     [calls one-way] |=====connection=====>| refuses at once  |
//	+--------------------------+                     +------------------+
//	  dialled when first used                          answers on the
//	                                                   connection of the call
//
// Classes have connections of their own so that a large answer to a scan does not
// hold up the heartbeats of consensus. A connection carries calls only when its
// first ping was answered: what waits for that and is lost was certainly never
// sent, and no call runs on a node whose clock was not looked at.
//
// Every frame carries a reading of the sender's hybrid clock. The receiver takes it
// in before anything else; if it is refused, the connection is broken. Only pings
// are answered all the same, so that a node whose clock is far off measures that
// (CheckOffsets).
//
// Fault model: messages are lost with their connection, connections are half open,
// peers are slow, dead, restarted or overloaded, clocks are wrong. Promised
// nevertheless: a handler runs at most once for a call; Call returns by its
// deadline; and its error says whether the handler certainly never ran (Sent is
// false) or may have run, or may still run. One-way messages may be lost silently.
//
// A server runs each call in a task of its own (the kernel reuses the stacks),
// bound by the caller's deadline. It admits a bounded number of calls and bytes of
// each kind and refuses what exceeds them at once.
package rpc
