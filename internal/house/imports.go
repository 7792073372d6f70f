package house

import (
	"fmt"
	"strings"

	"simulacrum/internal/source"
)

// importRule forbids packages of one room to import something.
type importRule struct {
	room   string   // module-relative, with everything inside; "" is the whole module
	except []string // parts of the room that the rule does not bind
	only   []string // if set, everything else of the same kind is forbidden
	ban    []string // imports forbidden, each with all below it
	why    string
	use    string // what to do instead
}

// Import paths of our own rooms are written relative to the module, prefixed with
// a dot and a slash, so that "./db" is never confused with a library.
var importRules = []importRule{
	{
		room: "sim/env", except: []string{"sim/env/envtest", "sim/env/realenv"},
		only: []string{"github.com/cockroachdb/pebble/v2/vfs"}, ban: []string{"./", "*"},
		why: "the seam is the leaf that both halves share",
		use: "the standard library, or a room above the seam",
	},
	{
		room: "sim", ban: []string{"./db", "./cluster", "./nemesis", "./checker", "./workloads", "./scenarios"},
		why: "the framework could test anybody's system",
		use: "package cluster, where simulator and database meet",
	},
	{
		room: "db", only: []string{"./sim/env"},
		ban: []string{"./sim", "./cluster", "./nemesis", "./checker", "./workloads", "./scenarios", "./cmd", "./internal"},
		why: "the database could run anywhere",
		use: "sim/env, the one thing both halves know",
	},
	{
		room: "db", ban: []string{"os", "net", "crypto/rand", "sync", "log", "os/exec", "os/signal"},
		why: "the database asks its environment",
		use: "env.Env: FS for files, Dial and Listen for peers, Rand for chance, Log for lines",
	},
	{
		room: "db", ban: []string{"github.com/cockroachdb/pebble/v2"}, only: []string{"github.com/cockroachdb/pebble/v2/vfs"},
		why: "pebble works on goroutines of its own, and is our oracle",
		use: "db/storage; compare with pebble in tests only",
	},
	{
		room: "db/session", ban: []string{"./db/storage", "./db/mvcc", "./db/concurrency", "./db/replica", "./db/store"},
		why: "a session hands on to whoever coordinates its transaction",
		use: "kv.TxnStarter, which it is given",
	},
	{
		room: "db/kvclient", ban: []string{"./db/storage", "./db/mvcc", "./db/concurrency", "./db/replica", "./db/store"},
		why: "a client reaches data through messages alone",
		use: "db/kv for the vocabulary, db/rpc for the way",
	},
	{
		room: "db/gossip", ban: []string{"./db/storage", "./db/mvcc", "./db/concurrency"},
		why: "what everyone may know travels in messages and rests on no disk",
		use: "db/rpc for the way, db/kv for the names of nodes and stores",
	},
	{
		room: "db/liveness", ban: []string{"./db/storage", "./db/mvcc", "./db/concurrency"},
		why: "liveness records are values of the database like any other, wherever their range is",
		use: "kv.DB, which it is handed, and db/gossip to tell what it read",
	},
	{
		room: "db/sql", ban: []string{"./db/storage", "./db/mvcc", "./db/concurrency", "./db/replica", "./db/store", "./db/kvclient"},
		why: "SQL reaches data through kv alone",
		use: "kv.DB, which it is handed",
	},
	{
		room: "db/placement", ban: []string{"./db/storage", "./db/mvcc", "./db/concurrency", "./db/replica", "./db/store", "./db/rpc", "./db/gossip", "./db/liveness"},
		why: "placement is pure functions from state to decision: where the state came from, and how old it is, is the caller's affair",
		use: "arguments: placement.Store, Range and Liveness, which a queue of db/store fills in",
	},
	{
		room: "checker", ban: []string{"./db", "./cluster", "./nemesis", "./workloads", "./scenarios", "./sim"},
		why: "a checker judges a history, whoever made it",
		use: "checker/history",
	},
	{
		room: "nemesis", ban: []string{"./db", "./cluster", "./workloads", "./scenarios", "./checker"},
		why: "faults know no database",
		use: "the small Target interface, which cluster satisfies",
	},
	{
		room: "workloads", ban: []string{"./db", "./cluster", "./scenarios", "./nemesis"},
		why: "a workload could run against anybody's system",
		use: "the small client interface that the workload declares",
	},
	{
		room: "cluster", ban: []string{"./scenarios", "./cmd", "./internal"},
		why: "nothing imports upward",
		use: "scenarios, which joins cluster, faults and workloads (the interfaces of nemesis and workloads are cluster's to satisfy)",
	},
	{
		room: "scenarios", ban: []string{"./cmd", "./internal"},
		why: "nothing imports upward",
		use: "an argument or a small interface",
	},
	{
		room: "internal", except: []string{"internal/house"}, ban: []string{"./scenarios", "./cluster", "./cmd"},
		why: "the tools of the house read code, they do not run it in process",
		use: "the built command, as a subprocess",
	},
}

// layers orders the rooms of the database: each may import only rooms with a
// smaller number. A room that is not named may be imported by db/server alone.
var layers = map[string]int{
	"db/codec": 0, "db/hlc": 1, "db/keys": 2, "db/kv": 3, "db/rpc": 4, "db/storage": 5, "db/mvcc": 6,
	"db/concurrency": 7, "db/placement": 8, "db/gossip": 9, "db/liveness": 10, "db/replica": 11, "db/store": 12,
	"db/kvclient": 13, "db/session": 14, "db/sql": 14, "db/server": 20,
}

// libraries are the modules outside the standard library that code other than
// tests may use. Their reasons stand in the design's table of libraries.
var libraries = []string{
	"go.etcd.io/raft/v3",
	"github.com/cockroachdb/pebble/v2/vfs",
	"github.com/anishathalye/porcupine",
	"pgregory.net/rapid",
	"github.com/cockroachdb/datadriven",
	"github.com/tidwall/btree",
	"github.com/klauspost/compress",
	"github.com/cespare/xxhash/v2",
	"github.com/cockroachdb/apd/v3",
	"github.com/google/uuid",
	"github.com/BurntSushi/toml",
	"github.com/pelletier/go-toml/v2",
	"olympos.io/encoding/edn",
	"github.com/chromedp/chromedp",
	"github.com/jackc/pgx/v5/pgproto3",
	"github.com/nats-io",
	"golang.org/x/tools",
	"golang.org/x/sys",
}

// importProblems judges the imports of one package.
func importProblems(rel string, imports []string) []string {
	var out []string
	for _, imp := range imports {
		name := imp
		if in := source.Rel(imp); in != imp {
			name = "./" + in
		}
		for _, r := range importRules {
			if r.binds(rel) && r.forbids(rel, name) {
				out = append(out, fmt.Sprintf("%s imports %s: %s; use %s", rel, name, r.why, r.use))
			}
		}
		out = append(out, layerProblem(rel, name)...)
		out = append(out, libraryProblem(rel, name)...)
	}
	return out
}

func (r importRule) binds(rel string) bool {
	for _, e := range r.except {
		if source.In(rel, e) {
			return false
		}
	}
	return r.room == "" || source.In(rel, r.room)
}

func (r importRule) forbids(rel, name string) bool {
	for _, o := range r.only {
		if source.In(name, o) {
			return false
		}
	}
	for _, b := range r.ban {
		switch {
		case b == "./":
			if strings.HasPrefix(name, "./") && !source.In(name, "./"+rel) {
				return true
			}
		case b == "*":
			if isLibrary(name) {
				return true
			}
		case source.In(name, b):
			return true
		}
	}
	return false
}

// isLibrary reports whether an import is neither ours nor the standard library's,
// whose first element has no dot.
func isLibrary(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first != "." && strings.Contains(first, ".")
}

// dbRoom is the room of db that a module-relative path lies in, such as "db/sql".
func dbRoom(rel string) string {
	parts := strings.SplitN(rel, "/", 3)
	if len(parts) < 2 || parts[0] != "db" {
		return ""
	}
	return parts[0] + "/" + parts[1]
}

func layerProblem(rel, name string) []string {
	from, to := dbRoom(rel), dbRoom(strings.TrimPrefix(name, "./"))
	if from == "" || to == "" || from == to {
		return nil
	}
	lower, known := layers[to]
	upper, ok := layers[from]
	if !ok {
		upper = layers["db/server"]
	}
	if known && lower < upper || !known && from == "db/server" {
		return nil
	}
	return []string{fmt.Sprintf("%s imports %s: rooms of db import lower rooms only (%s); use an interface declared where it is needed, which db/server fills in", rel, name, layerOrder())}
}

func layerOrder() string {
	var names []string
	for n := 0; n <= layers["db/server"]; n++ {
		var same []string
		for _, room := range sortedKeys(layers) {
			if layers[room] == n {
				same = append(same, strings.TrimPrefix(room, "db/"))
			}
		}
		if len(same) > 0 {
			names = append(names, strings.Join(same, ", "))
		}
	}
	return strings.Join(names, " < ")
}

func libraryProblem(rel, name string) []string {
	if !isLibrary(name) {
		return nil
	}
	for _, l := range libraries {
		if source.In(name, l) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s imports %s: not a library of this house; use one of the table, or add it to internal/house/imports.go in the commit that gives its reason", rel, name)}
}
