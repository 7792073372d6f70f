// Claim: reading the host's time, entropy, environment or addresses is reported,
// also where the function is only mentioned; durations and seeded streams are not.
package clock

import (
	"context"
	crand "crypto/rand" // want "import of crypto/rand: host entropy"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"time"
)

type named struct{ n int }

func (*named) String() string { return "named" }

type plain struct{ next *plain }

type holder struct {
	Named *named
	N     int
}

func host(ctx context.Context, p *plain, q *named, f func()) error {
	_ = time.Now()  // want "time.Now: .*Env.Wall"
	now := time.Now // want "time.Now: .*Env.Wall"
	_ = now
	time.Sleep(time.Second)                  // want "time.Sleep: .*Task.Sleep"
	_, cancel := context.WithTimeout(ctx, 1) // want "context.WithTimeout: .*SetDeadline"
	cancel()
	_ = rand.IntN(3) // want "rand.IntN draws from the global source"
	r := rand.New(rand.NewPCG(1, 2))
	_ = r.IntN(3)
	_ = os.Getenv("HOME")            // want "os.Getenv: a fact of the host"
	_ = runtime.NumGoroutine()       // want "runtime.NumGoroutine: a fact of the host"
	_ = reflect.ValueOf(p).Pointer() // want "reflect.Value.Pointer: addresses"
	_, _ = crand.Read(nil)
	_ = fmt.Sprintf("%d %p", 1, p) // want "%p prints an address"
	_ = fmt.Sprintf("%d %v", 1, p) // want "formatting a \*plain prints an address"
	_ = fmt.Sprint(f)              // want "formatting a func\(\) prints an address"
	_ = fmt.Sprintf("%T %v %d", p, q, 3*time.Second)
	_ = fmt.Errorf("%w: %v", errors.New("x"), holder{})
	_ = fmt.Sprintf("%v", &holder{})
	_ = fmt.Sprintf("%*d %v", 3, 4, []*plain{p}) // want "formatting a \[\]\*plain prints an address"
	return ctx.Err()
}
