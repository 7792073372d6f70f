// Simulate stands in for the real command: it exits by seed and prints the part of
// the JSON that the mutant runner reads.
package main

import (
	"flag"
	"fmt"
	"os"

	"fake/rules"
)

func main() {
	scenario := flag.String("scenario", "", "")
	seed := flag.Int("seed", 0, "")
	flag.Bool("json", false, "")
	flag.String("out", "", "")
	list := flag.Bool("list", false, "")
	flag.Parse()
	if *list {
		fmt.Println(`[{"title": "scenarios", "entries": [{"name": "calm", "doc": ""}, {"name": "busy", "doc": ""}]}, {"title": "faults", "entries": []}]`)
		return
	}
	if log := os.Getenv("FAKE_LOG"); log != "" {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err == nil {
			fmt.Fprintln(f, *scenario, *seed)
			f.Close()
		}
	}
	if *scenario == "unknown" {
		fmt.Fprintln(os.Stderr, "no such scenario")
		os.Exit(2)
	}
	rules.Sane(*seed)
	check, verdict, code := "linearizable", "ok", 0
	switch {
	case *scenario == "calm":
	case !rules.Safe(*seed) || rules.Old(*seed):
		verdict, code = "violation", 3
	case !rules.Live(*seed):
		check, verdict, code = "progress", "violation", 4
	}
	fmt.Printf("{\"seed\": %d, \"verdicts\": [{\"check\": %q, \"verdict\": %q}]}\n", *seed, check, verdict)
	os.Exit(code)
}
