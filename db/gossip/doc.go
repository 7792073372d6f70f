// Package gossip spreads what everyone may know: where nodes are, what their stores
// hold, who is alive. It is how a node learns of others without asking all of them,
// and nobody ever reads another node's memory.
//
//	Publish ----> infos: newest of each key -----> OnChange, Get, Visit
//	               |  ^
//	     what the  |  |  what the peer has
//	     peer lacks|  |  and this node lacks
//	               v  |
//	        peering 1..fanout  ==exchange==>  peers        (chosen by this node)
//	        incoming, bounded  <==exchange==  peers        (who chose this node)
//
// Each node keeps up exchanges with a few peers that it chose. An exchange is one call
// that carries news both ways: the caller's with the request, the callee's with the
// answer. It takes place at once when there is news for the peer, though not before
// gossip.pace has passed since the last, and every gossip.interval when there is none.
// What a node sends and receives in a second is therefore bounded by fanout, incoming
// and pace, however large the cluster. What an exchange holds grows with the rate at
// which the cluster publishes, for everybody is told everything: that is the one cost
// that grows with the cluster.
//
// Either side numbers the changes of its infos, and the caller says with each request
// up to which number of the callee's it has them. A callee therefore need not remember
// its callers, and an exchange that was lost is made good by the next. That it does
// remember some saves telling things twice, once in each direction.
//
// The peers make a random graph, which is drawn anew piece by piece: every
// gossip.rotate a node gives up the peer that told it least, for a node whose infos came
// through more than gossip.max_hops hands, or else for any. That keeps the graph
// shallow, and lets the parts of a cluster that was cut in two find each other again:
// while the cut lasts, every node goes on trying nodes of the other part. A node that
// has missed the sentinel, which the leaseholder of the first range publishes, looks for
// others more often.
//
// The infos of a node are a join semilattice: of two with the same key the one of the
// higher version stands, whatever the order in which they come. A version is a reading
// of a hybrid clock. What has outlived its time to live is no longer shown, but it is
// kept and spread like everything else, for otherwise an older info that was to live
// longer could come back. Keys are few: some for each node that there ever was.
//
// Rejected: stamps of each origin, by which a node says what it has. They are as many as
// there are nodes, in every message, and they demand that an origin publish in the order
// of its versions, which an info about somebody else (a liveness record, whose version
// the database chose) does not keep. Rejected: connections in both directions between
// two peers; each costs pings.
//
// Fault model: messages are lost and late, nodes crash, come back with a new memory, are
// cut off, alone or in halves, and their clocks differ by the maximum offset or more.
// Promised nevertheless: infos that are published for the last time reach every node
// that can be reached over a path of nodes that are up, within a bound that a test
// states; nobody is told something older than he knows; an incarnation's infos replace
// those of the one before it, even if its clock has gone back; nodes of another cluster
// are told nothing. An info may be old when it comes. Nothing may hang on it that
// must be true: for that, ask the database.
package gossip
