package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"

	"golang.org/x/tools/go/analysis"

	"simulacrum/internal/source"
)

var concurrency = &analysis.Analyzer{
	Name: "concurrency",
	Doc:  "forbid what hands control to the Go scheduler, or takes it from the kernel",
	Run:  runConcurrency,
}

const (
	useTask  = "the Go scheduler decides the order; start an env task with Env.Go, which is an event that the seed orders"
	useQueue = "the Go scheduler decides who goes first; use env.Queue or env.Promise, whose wake-ups are events"
	useNone  = "a process is single-threaded, so that no lock is needed; tasks that must take turns use env.Semaphore"
)

// bannedImports maps an import path to its reason and replacement.
var bannedImports = map[string]string{
	"sync":             useNone + " (sync.Pool also drops by the collector's whim)",
	"sync/atomic":      useNone,
	"crypto/rand":      "host entropy; draw from a named stream, Env.Rand",
	"math/rand":        "seeded by the host; draw from a named math/rand/v2 stream, Env.Rand",
	"hash/maphash":     "its seed is the process's; use xxhash, or crc32 with the Castagnoli table",
	"unique":           "backed by a global table with weak pointers; keep the value itself",
	"weak":             "the collector decides when it is nil; own the value",
	"testing/synctest": "its order within an instant is not promised; use the kernel of package sim",
}

func runConcurrency(pass *analysis.Pass) (any, error) {
	kernel := source.In(source.Rel(pass.Pkg.Path()), "sim")
	inspect(pass, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			path, _ := strconv.Unquote(n.Path.Value)
			if why := bannedImports[path]; why != "" {
				pass.Reportf(n.Pos(), "import of %s: %s", path, why)
			}
		case *ast.GoStmt:
			pass.Reportf(n.Pos(), "go statement: %s", useTask)
		case *ast.SelectStmt:
			pass.Reportf(n.Pos(), "select: %s", useQueue)
		case *ast.ChanType:
			pass.Reportf(n.Pos(), "channel type: %s", useQueue)
		case *ast.SendStmt:
			pass.Reportf(n.Pos(), "channel send: %s", useQueue)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				pass.Reportf(n.Pos(), "channel receive: %s", useQueue)
			}
		case *ast.RangeStmt:
			if t := pass.TypesInfo.TypeOf(n.X); t != nil {
				if _, ok := t.Underlying().(*types.Chan); ok {
					pass.Reportf(n.Pos(), "range over a channel: %s", useQueue)
				}
			}
		case *ast.CallExpr:
			checkControl(pass, n, kernel)
		}
		return true
	})
	return nil, nil
}

// checkControl reports calls that move control in ways only the kernel may.
func checkControl(pass *analysis.Pass, call *ast.CallExpr, kernel bool) {
	if kernel {
		return
	}
	if builtin(pass.TypesInfo, call.Fun) == "recover" {
		pass.Reportf(call.Pos(), "recover: a task of a dead process is ended by a panic that only the kernel may catch; return errors, and let a broken invariant reach the kernel")
	}
	if path, name := called(pass.TypesInfo, call.Fun); path == "iter" && (name == "Pull" || name == "Pull2") {
		pass.Reportf(call.Pos(), "iter.%s: coroutines belong to the kernel, which must end each of them; use an env task, or iterate by hand", name)
	}
}
