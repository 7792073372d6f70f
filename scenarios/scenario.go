package scenarios

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"simulacrum/workloads"
)

// Scenario is a run before its seed. The comments give what a file says; the
// fields that a file leaves out have the values of Default.
type Scenario struct {
	Name string `toml:"name"`          // letters, digits and dashes
	Doc  string `toml:"doc"`           // what it is for, in a sentence or two
	Seed uint64 `toml:"seed,omitzero"` // of the run that found a bug, in scenarios/found

	Duration Duration `toml:"duration"` // how long clients work
	Settle   Duration `toml:"settle"`   // how long the final writes and reads may take after that

	Topology Topology `toml:"topology"`
	Workload Workload `toml:"workload"`
	Faults   Faults   `toml:"faults"`
	Clocks   Clocks   `toml:"clocks"`
	Checks   Checks   `toml:"checks"`
	Disk     Disk     `toml:"disk"`
	Network  Network  `toml:"network"`
	Knobs    Knobs    `toml:"knobs"`
}

// Topology is who stands where, and how the data is cut and copied.
type Topology struct {
	Ranges   int      `toml:"ranges"`   // how many the workload's keys are split into
	Replicas int      `toml:"replicas"` // copies of each
	Regions  []Region `toml:"region"`
}

// Region is a place with zones of equal size.
type Region struct {
	Name    string   `toml:"name"`
	Zones   []string `toml:"zones"`
	Nodes   int      `toml:"nodes"`           // in each zone
	Spares  int      `toml:"spares,omitzero"` // in each zone, not there at the start: the fault add-node has them join
	Clients int      `toml:"clients"`         // in the region, dealt to its zones in turn
}

// Workload is what clients do.
type Workload struct {
	Name       string   `toml:"name"`                  // of package workloads
	Keys       int      `toml:"keys"`                  // registers
	Counters   int      `toml:"counters"`              // counters
	Hot        int      `toml:"hot"`                   // of each, how many are hot
	HotPercent int      `toml:"hot-percent"`           // of the operations go to hot keys
	Think      Duration `toml:"think"`                 // mean pause after an answer; "0s": none, a closed loop
	Mix        Mix      `toml:"mix"`                   // weights of operations on registers
	Registers  int      `toml:"registers"`             // weights of the parts of "mixed"
	Increments int      `toml:"increments"`            //
	Sets       int      `toml:"sets"`                  //
	Txn        Txn      `toml:"txn"`                   // what transactions consist of, in workloads that have them
	Timeout    Duration `toml:"client-timeout"`        // of a client for one request
	Reconnect  bool     `toml:"reconnect-after-error"` // a client goes to another gateway after an error
}

// Mix weighs operations on registers against each other.
type Mix struct {
	Read    int `toml:"read"`
	Write   int `toml:"write"`
	CAS     int `toml:"cas"`
	Delete  int `toml:"delete"`
	Scan    int `toml:"scan"`
	Reverse int `toml:"reverse-scan"`
	Batch   int `toml:"batch"`
	Past    int `toml:"past"`
}

// Txn is what transactions consist of.
type Txn struct {
	Ops         int      `toml:"ops"`          // of a transaction, at most
	Read        int      `toml:"read"`         // weights of operations
	Write       int      `toml:"write"`        //
	CAS         int      `toml:"cas"`          //
	InitPut     int      `toml:"init-put"`     //
	Delete      int      `toml:"delete"`       //
	DeleteRange int      `toml:"delete-range"` //
	Scan        int      `toml:"scan"`         //
	Reverse     int      `toml:"reverse-scan"` //
	Limited     int      `toml:"limited-scan"` // of a few rows
	Add         int      `toml:"add"`          // an element to a set
	Increment   int      `toml:"increment"`    // a counter
	Shared      int      `toml:"shared"`       // of 100 reads lock what they read
	Exclusive   int      `toml:"exclusive"`    //
	ReadOnly    int      `toml:"read-only"`    // of 100 transactions
	Past        int      `toml:"past"`         // of 100 read at an earlier timestamp
	Nested      int      `toml:"nested"`       // of 100 have savepoints within savepoints
	Alone       int      `toml:"alone"`        // of 100 are an operation outside of any transaction
	Long        int      `toml:"long"`         // of 100 pause between operations
	Pause       Duration `toml:"pause"`        // mean of such a pause
	Vanish      int      `toml:"vanish"`       // of 1,000 clients stop talking in the middle
	Away        Duration `toml:"away"`         // mean time for which they do
	Low         int      `toml:"low"`          // of 100 transactions have a low priority
	High        int      `toml:"high"`         // and a high one
	Again       int      `toml:"again"`        // of 100 operations come back to a key of their transaction
	PerKey      int      `toml:"per-key"`      // appends, after which a list gives way to another
	CommitWait  bool     `toml:"commit-wait"`  // commits are waited out, and order in real time is judged across keys
}

// Faults say what may go wrong.
type Faults struct {
	Families     []string `toml:"families"`          // that a seed may have on; none: only the plan's faults
	Strength     int      `toml:"strength"`          // 1 (few) to 5 (many)
	From         Duration `toml:"from"`              // the fault window
	To           Duration `toml:"to"`                //
	MaxDown      int      `toml:"max-down"`          // nodes out at one instant; 0: any number
	MaxActive    int      `toml:"max-active"`        // faults in force at one instant; 0: any number
	MinAvailable Percent  `toml:"min-available"`     // of the window with a quorum of every range
	Beyond       bool     `toml:"beyond-max-offset"` // clocks may stray further than max-offset
	Probes       bool     `toml:"probes"`            // faults may wait for rare points in the code
	Plan         []string `toml:"plan"`              // lines of package nemesis that happen for every seed
	// Expect is "available" when every seed must leave a quorum of every range at
	// all times, or "safe" when a scenario may take it away.
	Expect string `toml:"expect"`
}

// Clocks say how wrong they are before any fault.
type Clocks struct {
	MaxOffset Duration `toml:"max-offset"` // how far apart two clocks may be
	// Spread is the part of max-offset within which the initial offsets are drawn;
	// less, where nodes with such clocks would stop themselves.
	Spread Percent `toml:"spread"`
	// Offsets, if given, are those of the nodes in order instead.
	Offsets []Duration `toml:"offsets,omitempty"`
}

// Checks bound what is judged beside safety.
type Checks struct {
	// Liveness is the time from healing to the first success on every key, with
	// default knobs.
	Liveness Duration `toml:"liveness"`
	// Placement is the time from healing within which every range must have its copies
	// where they belong, with default knobs. 0: copies stay where they are.
	Placement Duration `toml:"placement,omitzero"`
	// Invariants has package cluster look into the nodes while they run.
	Invariants bool `toml:"invariants"`
}

// Disk names a profile: nvme, ssd or spinning.
type Disk struct {
	Profile string `toml:"profile"`
}

// Network says what messages go through when no fault is in force.
type Network struct {
	Decode bool `toml:"decode"` // deliver decoded copies always, not only on some seeds
}

// Knobs are tunables of the database.
type Knobs struct {
	Perturb bool             `toml:"perturb"` // draw them from their legal ranges
	Set     map[string]int64 `toml:"set"`     // these are fixed; durations in nanoseconds
}

// Default is what a file's omissions mean.
func Default() *Scenario {
	p := workloads.Defaults()
	m := p.Mix
	return &Scenario{
		Duration: Duration(60 * time.Second), Settle: Duration(60 * time.Second),
		Topology: Topology{Ranges: 12, Replicas: 3},
		Workload: Workload{Name: "mixed", Keys: p.Keys, Counters: p.Counters, Hot: p.Hot, HotPercent: p.HotPercent, Think: Duration(p.Think),
			Mix:       Mix{m.Read, m.Write, m.CAS, m.Delete, m.Scan, m.Reverse, m.Batch, m.Past},
			Registers: p.Registers, Increments: p.Increments, Sets: p.Sets, Txn: txnOf(p.Txn), Timeout: Duration(5 * time.Second), Reconnect: true},
		Faults: Faults{Families: []string{}, Strength: 3, From: Duration(5 * time.Second), To: Duration(40 * time.Second), Plan: []string{}, Expect: "safe"},
		Clocks: Clocks{MaxOffset: Duration(500 * time.Millisecond), Spread: 900_000},
		Checks: Checks{Liveness: Duration(20 * time.Second), Invariants: true},
		Disk:   Disk{Profile: "nvme"},
		Knobs:  Knobs{Set: map[string]int64{}},
	}
}

// Params are the workload's, with a slot for each range.
func (s *Scenario) Params() workloads.Params {
	w, m := s.Workload, s.Workload.Mix
	if w.Hot == 0 {
		w.Hot = -1 // a workload takes 0 for its default
	}
	if w.Think == 0 {
		w.Think = -1
	}
	return workloads.Params{Slots: s.Topology.Ranges, Keys: w.Keys, Counters: w.Counters, Hot: w.Hot, HotPercent: w.HotPercent,
		Think: time.Duration(w.Think), Registers: w.Registers, Increments: w.Increments, Sets: w.Sets, Txn: w.Txn.params(),
		Mix: workloads.Mix{Read: m.Read, Write: m.Write, CAS: m.CAS, Delete: m.Delete, Scan: m.Scan, Reverse: m.Reverse, Batch: m.Batch, Past: m.Past}}
}

func txnOf(x workloads.Txn) Txn {
	return Txn{Ops: x.Ops, Read: x.Read, Write: x.Write, CAS: x.CAS, InitPut: x.InitPut, Delete: x.Delete, DeleteRange: x.DeleteRange,
		Scan: x.Scan, Reverse: x.Reverse, Limited: x.Limited, Add: x.Add, Increment: x.Increment, Shared: x.Shared, Exclusive: x.Exclusive,
		ReadOnly: x.ReadOnly, Past: x.Past, Nested: x.Nested, Alone: x.Alone, Long: x.Long, Pause: Duration(x.Pause),
		Vanish: x.Vanish, Away: Duration(x.Away), Low: x.Low, High: x.High, Again: x.Again, PerKey: x.PerKey, CommitWait: x.CommitWait}
}

func (x Txn) params() workloads.Txn {
	return workloads.Txn{Ops: x.Ops, Read: x.Read, Write: x.Write, CAS: x.CAS, InitPut: x.InitPut, Delete: x.Delete, DeleteRange: x.DeleteRange,
		Scan: x.Scan, Reverse: x.Reverse, Limited: x.Limited, Add: x.Add, Increment: x.Increment, Shared: x.Shared, Exclusive: x.Exclusive,
		ReadOnly: x.ReadOnly, Past: x.Past, Nested: x.Nested, Alone: x.Alone, Long: x.Long, Pause: time.Duration(x.Pause),
		Vanish: x.Vanish, Away: time.Duration(x.Away), Low: x.Low, High: x.High, Again: x.Again, PerKey: x.PerKey, CommitWait: x.CommitWait}
}

// String is the scenario as a file that parses to it.
func (s *Scenario) String() string {
	var b bytes.Buffer
	e := toml.NewEncoder(&b)
	e.Indent = ""
	if err := e.Encode(s); err != nil {
		panic(fmt.Sprintf("scenarios: a scenario does not print: %v", err)) // all its types do
	}
	return b.String()
}

// Duration is a time.Duration that files write as "500ms".
type Duration time.Duration

// String is the form in files.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	t, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it in quotes with its unit, such as \"500ms\"", b)
	}
	*d = Duration(t)
	return nil
}

// Percent is a share in millionths, which files write as "40%".
type Percent int64

// String is the form in files.
func (p Percent) String() string {
	s := fmt.Sprintf("%d.%04d", int64(p)/10_000, int64(p)%10_000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

// MarshalText implements encoding.TextMarshaler.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(b []byte) error {
	s, ok := strings.CutSuffix(string(b), "%")
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseUint(whole+(frac + "0000")[:4], 10, 32)
	if !ok || err != nil || len(frac) > 4 || whole == "" {
		return fmt.Errorf("%q is no share: write it in quotes, such as \"40%%\", with at most four decimals", b)
	}
	*p = Percent(n)
	return nil
}
