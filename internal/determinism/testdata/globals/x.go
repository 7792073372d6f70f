// Claim: a package-level variable that anything changes, or whose address gets
// out, is reported; constant tables, errors, knobs and tables filled in init are not.
package globals

import (
	"errors"
	"hash/crc32"
	"slices"
	"strings"

	"simulacrum/sim/env"
)

var (
	errGone    = errors.New("gone")
	table      = crc32.MakeTable(crc32.Castagnoli)
	names      = []string{"b", "a"}
	squares    [8]int
	knobLength = env.Knob{Name: "x.length", Default: 1, Min: 1, Max: 2}
	counter    int
	cache      = map[string]int{}
	state      struct{ n int }
	buffer     strings.Builder
)

func init() {
	for i := range squares {
		squares[i] = i * i
	}
}

func fine(p env.Process) (int64, error) {
	_ = crc32.Checksum(nil, table)
	_ = names[0]
	_ = cache["a"] + squares[2]
	return p.Knob(&knobLength), errGone
}

func bad() *int {
	counter++           // want "package-level variable counter is changed"
	cache["a"] = 1      // want "package-level variable cache is assigned to: simulations in one process"
	delete(cache, "a")  // want "package-level variable cache is changed"
	state.n = 3         // want "package-level variable state is assigned to"
	slices.Sort(names)  // want "package-level variable names is reordered"
	buffer.WriteByte(1) // want "method WriteByte may change package-level variable buffer"
	env.ErrReset = nil  // want "package-level variable ErrReset is assigned to"
	return &counter     // want "the address of package-level variable counter is taken"
}
