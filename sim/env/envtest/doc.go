// Package envtest is what every implementation of env.Env must pass. Code written
// against the seam may rely on what is tested here and on nothing more.
//
//	func TestConformance(t *testing.T) {
//		envtest.Run(t, func(t testing.TB) envtest.World { ... })
//	}
//
// The suite fits virtual and real time: it says what must happen, in which order,
// and what must not happen before its time, but never how soon. A lower bound on a
// duration is exact; an upper bound is only that the whole test ends.
//
// Fault model: none but the ones that the suite itself brings about through the
// World: processes that die, peers that are not there, bytes that do not decode.
// Messages must be encoded and decoded on their way (the simulated network's
// decoded mode), or what concerns Decode cannot be seen.
package envtest
