package server

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
)

// state tells what leaseholders have stored.
func (d *dialogue) state() {
	for id := kv.RangeID(2); int(id) <= len(d.w.descs); id++ {
		n, r := d.w.replica(id)
		if r == nil {
			d.say("  r%d: nobody has the lease", id)
			continue
		}
		var lines, records []string
		spans := replica.ReplicatedSpans(r.Desc())
		for _, s := range []keys.Span{spans[2], spans[1], keys.AbortSpan(id)} {
			it := n.server.engine.NewIter(s.Key, s.EndKey)
			for ok := it.First(); ok; ok = it.Next() {
				switch line := d.stored(it.Key(), it.Value()); {
				case line == "":
				case strings.HasPrefix(line, "record"):
					records = append(records, d.readable(line))
				default:
					lines = append(lines, line)
				}
			}
			it.Close()
		}
		slices.Sort(records) // by name: IDs are random
		lines = append(lines, records...)
		if !r.State().GCThreshold.IsEmpty() {
			lines = append(lines, "collected up to "+r.State().GCThreshold.String())
		}
		for _, line := range lines {
			d.say("  r%d  %s", id, line)
		}
		if len(lines) == 0 {
			d.say("  r%d  nothing", id)
		}
	}
}

// stored is an entry of an engine in words.
func (d *dialogue) stored(key, val []byte) string {
	if id, txn, ok := keys.DecodeAbortSpanKey(key); ok {
		return fmt.Sprintf("abort span of r%d: %s", id, kv.FormatTxnID(txn))
	}
	k, _, err := mvcc.DecodeKey(key)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, _, ok := keys.DecodeTxnRecordKey(k); ok {
		txn, err := replica.DecodeRecord(key, val)
		if err != nil {
			d.t.Fatal(err)
		}
		return "record of " + formatRecord(txn)
	}
	if !keys.ClientStart.Less(k) {
		return "" // the descriptor
	}
	if _, v, bare, err := mvcc.DecodeVersion(key, val); err == nil && !bare {
		return fmt.Sprintf("%s  %s", k, v)
	}
	rec, err := mvcc.DecodeRecord(key, val)
	if err != nil {
		d.t.Fatal(err)
	}
	return fmt.Sprintf("%s  %s", k, rec)
}

// locks tells what leaseholders have in memory: locks and their queues, pushes and
// queries that wait.
func (d *dialogue) locks() {
	none := true
	for id := kv.RangeID(2); int(id) <= len(d.w.descs); id++ {
		_, r := d.w.replica(id)
		if r == nil {
			d.say("  r%d: nobody has the lease", id)
			continue
		}
		text := strings.TrimPrefix(d.readable(r.Requests().Locks().String()), "no locks\n")
		// Whom pushes wait for is listed by ID, and IDs are random.
		for _, w := range sortedBlocks(d.readable(r.Requests().Waits().String())) {
			text += strings.TrimPrefix(w, "nobody waits\n")
		}
		if text == "" {
			continue
		}
		none = false
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			d.say("  r%d  %s", id, line)
		}
	}
	if none {
		d.say("  no locks, nobody waits")
	}
}

// sortedBlocks are the lines without indentation, each with the indented ones that follow,
// in order.
func sortedBlocks(s string) []string {
	var blocks []string
	for _, line := range strings.SplitAfter(s, "\n") {
		if n := len(blocks); n > 0 && strings.HasPrefix(line, " ") {
			blocks[n-1] += line
		} else if line != "" {
			blocks = append(blocks, line)
		}
	}
	slices.Sort(blocks)
	return blocks
}

var (
	printedTime = regexp.MustCompile(`\b\d+\.\d{9},\d+\b`)
	printedID   = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
	printedKey  = regexp.MustCompile(`/Table/[^" ,)/]*/"?([a-z])\\?"?|"\\x06([a-z])"`)
	printedTurn = regexp.MustCompile(`#\d+ of `)
)

// readable gives transactions and timestamps names, and keys their clients' form.
func (d *dialogue) readable(s string) string {
	s = printedKey.ReplaceAllString(s, "$1$2")
	s = printedTurn.ReplaceAllString(s, "")
	s = printedID.ReplaceAllStringFunc(s, func(id string) string {
		if name := d.names[id]; name != "" {
			return name
		}
		return id
	})
	return printedTime.ReplaceAllStringFunc(s, d.moment)
}

func (d *dialogue) moment(s string) string {
	if m := d.moments[s]; m != "" {
		return m
	}
	ts, err := hlc.Parse(s)
	if err != nil {
		d.t.Fatal(err)
	}
	m := ""
	if ts.Logical > 0 {
		before := hlc.Timestamp{Wall: ts.Wall, Logical: ts.Logical - 1}
		if known := d.moments[before.String()]; known != "" {
			m = known + "+1"
		}
	}
	if m == "" {
		m = strconv.FormatInt((ts.Wall-d.w.start)/1e7*10, 10)
		if n := d.taken[m]; n > 0 {
			d.taken[m]++
			m += string(rune('a' + n))
		} else {
			d.taken[m] = 1
		}
	}
	d.moments[s] = m
	return m
}
