// Package network is the simulated network: connections between named endpoints
// that stand in zones of regions, over links that have latency, bandwidth and
// faults. Its Endpoint implements env.Network for one incarnation of a process.
//
//	   Conn (dialer) ── stream ──> link n1>n3 ──> event of n3's process ── Conn (acceptor)
//	   Conn (dialer) <── event of n1's process <── link n3>n1 <── stream ── Conn (acceptor)
//
//	link    one direction between two endpoints: base latency, jitter from a stream
//	        of its own name, a line for its bandwidth, and the faults in force.
//	        Made when first used; nothing walks all pairs.
//	stream  one direction of a connection: segments in order, each an event of the
//	        receiving process, or kept back while the link is cut.
//	packet  what stands outside streams: dials (SYN), refusals and resets (RST).
//
// Fault model, after TCP over IP. Under a connection, packets are lost, doubled,
// overtaken and flipped. What the process sees of that:
//
//   - A lost segment comes later, by one or more retransmission time-outs, and all
//     behind it wait. A doubled one takes bandwidth twice and is discarded by its
//     sequence number, so that it is only counted. A reordered one is late, and
//     holds up its own connection while others pass.
//   - A flipped bit that TCP did not notice is caught by the frame's checksum: the
//     receiver gets ErrCorrupt, the sender ErrReset.
//   - A cut that drops stalls streams. When it heals they go on after a while
//     (retransmission backs off), unless Config.Timeout has passed: then the sender
//     alone gets ErrUnreachable, and the other end is half open. A sender whose
//     acknowledgements are cut off breaks in the same way, though what it sent was
//     delivered. A cut that holds delivers everything when it heals; it breaks
//     nothing but dials, which have a time-out of their own.
//   - A crash of a process resets its connections, by packets that are subject to
//     latency, loss and cuts. A loss of power says nothing: the other ends stay open
//     until they send to a machine that is up again, and are reset, or time out.
//   - What was on its way to a dead incarnation never reaches a later one; a dial
//     that was held may.
//   - A connection has a window. Beyond it messages wait at the sender. Both what
//     waits at the sender and what is on its way to, or unread by, the receiver are
//     accounted as memory of the one and the other, each in its own events.
//
// Promised nevertheless, until a connection breaks: order, at most once, intact.
//
// Simplified: acknowledgements are not simulated, but asked for at delivery (is the
// way back cut?); there is no congestion control; a closed window opens one base
// latency after the receiver has read.
package network
