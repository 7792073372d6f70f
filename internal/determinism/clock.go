package determinism

import (
	"go/ast"
	"go/constant"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

var clock = &analysis.Analyzer{
	Name: "clock",
	Doc:  "forbid reading the host: its time, entropy, environment, scheduler and addresses",
	Run:  runClock,
}

const (
	useClock   = "wall time of the host; read Env.Wall or Env.Mono"
	useTimer   = "runs on the host's timers; use Env.After, Task.Sleep or Task.Park"
	useRequest = "runs on the host's timers; use Task.SetDeadline"
	useHost    = "a fact of the host, which differs from machine to machine; take it from the run's configuration or a knob"
	useGC      = "the collector decides when; release by hand"
)

// bannedCalls maps functions, as path.Name, to their reason and replacement.
var bannedCalls = map[string]string{
	"time.Now": useClock, "time.Since": useClock, "time.Until": useClock,
	"time.After": useTimer, "time.AfterFunc": useTimer, "time.Tick": useTimer, "time.Sleep": useTimer,
	"time.NewTimer": useTimer, "time.NewTicker": useTimer,
	"context.WithTimeout": useRequest, "context.WithDeadline": useRequest,
	"context.WithTimeoutCause": useRequest, "context.WithDeadlineCause": useRequest,
	"os.Getenv": useHost, "os.LookupEnv": useHost, "os.Environ": useHost, "os.ExpandEnv": useHost,
	"os.Hostname": useHost, "os.Getpid": useHost, "os.Getwd": useHost, "os.TempDir": useHost,
	"runtime.NumGoroutine": useHost, "runtime.NumCPU": useHost, "runtime.GOMAXPROCS": useHost,
	"runtime.ReadMemStats": useHost, "runtime/debug.SetMemoryLimit": useHost,
	"runtime.SetFinalizer": useGC, "runtime.AddCleanup": useGC, "runtime.GC": useGC,
	"runtime.Gosched": useTimer,
	"runtime.Goexit":  "ends the driver with the task; end a task by returning, or Task.Cancel it",
}

// seedable are the functions of math/rand/v2 that do not touch its global source.
var seedable = map[string]bool{"New": true, "NewPCG": true, "NewChaCha8": true, "NewZipf": true}

// addresses are methods that turn a pointer into a number.
var addresses = map[string]bool{"Pointer": true, "UnsafePointer": true, "UnsafeAddr": true}

func runClock(pass *analysis.Pass) (any, error) {
	inspect(pass, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr: // also where the function is only mentioned, as in f := time.Now
			path, name := function(pass.TypesInfo.Uses[n.Sel])
			if why := bannedCalls[path+"."+name]; why != "" {
				pass.Reportf(n.Pos(), "%s.%s: %s", path, name, why)
			}
			if path == "math/rand/v2" && !seedable[name] {
				pass.Reportf(n.Pos(), "rand.%s draws from the global source, which the host seeds; draw from a named stream, Env.Rand", name)
			}
			if sel := pass.TypesInfo.Selections[n]; sel != nil && addresses[n.Sel.Name] && sel.Recv().String() == "reflect.Value" {
				pass.Reportf(n.Pos(), "reflect.Value.%s: addresses differ from run to run; give the thing a number of its own", n.Sel.Name)
			}
		case *ast.CallExpr:
			checkFormat(pass, n)
		}
		return true
	})
	return nil, nil
}

// checkFormat reports arguments of a formatting call that would print an address.
// A call formats when it has a parameter list (format string, args ...any).
func checkFormat(pass *analysis.Pass, call *ast.CallExpr) {
	sig, ok := pass.TypesInfo.TypeOf(call.Fun).(*types.Signature)
	if !ok || !sig.Variadic() || call.Ellipsis.IsValid() {
		return
	}
	last := sig.Params().Len() - 1
	elem, ok := sig.Params().At(last).Type().(*types.Slice)
	if !ok || !types.Identical(elem.Elem().Underlying(), types.NewInterfaceType(nil, nil)) {
		return
	}
	verbs, formats := "", false
	if last > 0 {
		if tv := pass.TypesInfo.Types[call.Args[last-1]]; tv.Value != nil && tv.Value.Kind() == constant.String {
			verbs, formats = verbsOf(constant.StringVal(tv.Value)), true
		}
	}
	if path, _ := called(pass.TypesInfo, call.Fun); !formats && path != "fmt" {
		return // a variadic of any that does not format
	}
	for i := last; i < len(call.Args); i++ {
		verb := byte('v')
		if at := i - last; formats && at < len(verbs) {
			verb = verbs[at]
		}
		if verb == 'p' {
			pass.Reportf(call.Args[i].Pos(), "%%p prints an address, which differs from run to run; print a name or a number")
		} else if verb != 'T' && printsAddress(pass.TypesInfo.TypeOf(call.Args[i]), 0) {
			pass.Reportf(call.Args[i].Pos(), "formatting a %s prints an address, which differs from run to run; give the type a String method or print its parts",
				types.TypeString(pass.TypesInfo.TypeOf(call.Args[i]), types.RelativeTo(pass.Pkg)))
		}
	}
}

// verbsOf lists the verb of each argument that the format consumes, '*' included.
func verbsOf(format string) string {
	var verbs []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.[]*", format[i]) >= 0; i++ {
			if format[i] == '*' {
				verbs = append(verbs, 'd')
			}
		}
		if i < len(format) && format[i] != '%' {
			verbs = append(verbs, format[i])
		}
	}
	return string(verbs)
}

// printsAddress reports whether fmt would print a pointer's value somewhere in a
// value of type t. fmt follows a pointer at the top to a struct, slice, array or
// map, and none below; it asks for Error and String at each level it can reach.
func printsAddress(t types.Type, depth int) bool {
	if t == nil || depth > 6 || describes(t) {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	case *types.Chan, *types.Signature:
		return true
	case *types.Pointer:
		if depth > 0 {
			return true
		}
		switch u.Elem().Underlying().(type) {
		case *types.Struct, *types.Slice, *types.Array, *types.Map:
			return printsAddress(u.Elem(), 1)
		}
		return true
	case *types.Slice:
		return printsAddress(u.Elem(), depth+1)
	case *types.Array:
		return printsAddress(u.Elem(), depth+1)
	case *types.Map:
		return printsAddress(u.Key(), depth+1) || printsAddress(u.Elem(), depth+1)
	case *types.Struct:
		for i := range u.NumFields() {
			if printsAddress(u.Field(i).Type(), depth+1) {
				return true
			}
		}
	}
	return false
}

// describes reports whether fmt would call a method of t instead of looking in.
func describes(t types.Type) bool {
	for _, name := range []string{"Error", "String", "Format", "GoString"} {
		if obj, _, _ := types.LookupFieldOrMethod(t, false, nil, name); obj != nil {
			if _, ok := obj.(*types.Func); ok {
				return true
			}
		}
	}
	return false
}
