package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestAllocatorDialogues shows what allocators decide, and why, step by step.
func TestAllocatorDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/allocator", func(t *testing.T, path string) {
		var w *allocWorld
		var said []string
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				var zones, stores, ranges int
				d.ScanArgs(t, "zones", &zones)
				d.ScanArgs(t, "stores", &stores)
				d.ScanArgs(t, "ranges", &ranges)
				w = newAllocWorld(1, zones, stores, ranges, map[string]int64{"placement.band.ranges.min": 1})
				t.Cleanup(w.s.Close)
				w.tell = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
				return ""
			}
			said = nil
			switch d.Cmd {
			case "run":
				length, err := time.ParseDuration(d.CmdArgs[0].Key)
				if err != nil {
					t.Fatal(err)
				}
				w.run(length)
			case "join":
				var zone string
				d.ScanArgs(t, "zone", &zone)
				w.addStore(int(zone[0] - 'a'))
			case "ranges":
				for _, r := range w.ranges {
					said = append(said, r.String())
				}
			default:
				var id int
				if _, err := fmt.Sscanf(d.CmdArgs[0].Key, "s%d", &id); err != nil {
					t.Fatal(err)
				}
				s := w.stores[id-1]
				switch d.Cmd {
				case "kill":
					s.kill()
				case "start":
					s.start()
				case "hide":
					s.hidden = true
				case "show":
					s.hidden = false
				case "drain":
					s.live.Draining = true
				case "decommission":
					s.live.Decommissioning = true
				default:
					t.Fatalf("no command is called %s", d.Cmd)
				}
			}
			if len(w.problems) > 0 {
				t.Error(w.problems)
			}
			return strings.Join(append(said, ""), "\n")
		})
	})
}
