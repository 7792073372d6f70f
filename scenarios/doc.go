// Package scenarios holds what a run is made of, as data: who stands where, what
// clients do, what goes wrong, what must hold.
//
//	files/*.toml, found/*.toml (embedded),    knobs, probes of the rooms
//	or a path                                         |
//	      |  Load: unknown keys are errors            |
//	      v                                           v
//	   Scenario ------------- Resolve(seed, knobs, probes) ---> Resolved
//	      ^   prints as the file that parses to it                 | every draw made:
//	      |                                                        | places, clocks, knobs, plan
//	      '------------------------- Pin <-------------------------'
//
// A Scenario says what may be drawn; a Resolved has it drawn, and says all that a
// run needs, without chance left. Pin turns a Resolved back into a scenario that
// resolves, with the same seed, to the same: the recorded form of a run, which can
// be edited, shrunk and replayed after the generators have changed.
//
// The time of a run:
//
//	T+0        from                  to              duration        + settle
//	 | set up,  | faults begin and    | all healed    | clients stop,  | end
//	 | clients  | heal                | clients go on | final writes   |
//	 | begin    |                     | (liveness)    | and reads      |
//
// What scenarios promise: they are general workloads with general faults, made to
// be effective (durations below, about and above those of leases and elections,
// few hot keys, clocks close to their bound), and not fitted to any known bug. What
// is fitted is in found: pinned runs that once found one, which must stay ok.
package scenarios
