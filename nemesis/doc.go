// Package nemesis breaks things on purpose: faults as values that print, parse
// back, start, heal, and count what they did.
//
//	 scenario's Bounds          a file, a shrinker, a person
//	      |  Swarm(rand)              |  ParsePlan
//	      v                           v
//	    Plan  = lines of text: when, what, on whom, how long, how hard
//	    /  \
//	   /    \  Budget(Model)
//	  |      '----> what may be expected meanwhile: available, or only safe
//	  v  Run(world, Target, plan)
//	Runner --- callbacks of the world ---> Target (package cluster)
//	  |  <--- OnProbe: "n3 is at that point for the 4th time" ---'
//	  v
//	[]Report: begun, ended, effects counted, or DID NOTHING and why
//
// The fault model is that of a machine room: processes die, freeze and crawl;
// power fails at one instant for any set of nodes and takes what was not synced;
// links cut, lose, repeat, reorder, hold and mangle frames, and connections break;
// wall clocks jump, drift and stand; disks slow down, stall, fill up and fail. What
// is asked of ranges is only what their own replicas may decide at any time: a lease
// moves, somebody stands for election, a log is cut short. Such a request may be
// refused, and counts only when it was carried out.
// Nodes join that were not there, drain, leave for good, and lose their disks: what
// comes back on an empty disk is another node. Copies of ranges are moved on request.
// Memory is not corrupted and nobody lies.
//
// What it promises: a plan is data and says all that happens, so that the same
// plan on the same seed does the same; chance is used by Swarm alone, before the
// run. At the end of the fault window everything heals: links, disks, speeds and
// pauses, clocks back to where they began, and each process that should live is
// started, but those that have left or whose disks are lost for good. Faults overlap freely: a process is started, resumed or sped up when
// the last fault that holds it lets go. A fault that changed nothing says so.
//
// A crash loop, a flapping partition and a storm of lease transfers are not kinds of
// their own but repetitions of one: "for 500ms times=6 every=2s". A rolling restart is
// a stop of all nodes, each a while after the one before: "stop all for 1s stagger=4s".
//
// Most of what matters is found at rare points in the code, between two steps that belong
// together. A fault waits for a node to be there, or for any: "at probe "staged, before ack"
// any #4 crash for 500ms times=6 every=2s" takes six times whoever has got so far, whichever
// node it is. What a budget says of it before the run holds for every choice of nodes;
// Happened knows afterwards which they were.
package nemesis
