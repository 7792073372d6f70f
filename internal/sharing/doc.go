// Package sharing finds memory that two nodes of one simulation share, which no
// two machines could: a pointer, slice, map or channel that can be reached from
// the roots of both. A test of cluster hands it two running nodes.
//
//	for _, s := range sharing.Between(n1, n2, sharing.Allow[*sim.Sim]("the kernel")) {
//		t.Error(s)
//	}
//
// The walk follows pointers, interfaces, slices, arrays, maps and struct fields,
// unexported ones too, and notes the blocks of memory that it meets. It cannot look
// into closures, nor behind unsafe.Pointer and uintptr; the decoded delivery of
// messages finds what is hidden there.
//
// Types that are immutable by contract may be shared, and are allowed by name and
// reason; the walk does not go on behind them. Strings are immutable by language.
package sharing
