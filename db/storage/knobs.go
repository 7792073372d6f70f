package storage

import "simulacrum/sim/env"

// The tunables of an engine.
var (
	knobMemtable  = env.Knob{Name: "storage.memtable", Default: 4 << 20, Min: 4 << 10, Max: 64 << 20, Doc: "bytes in memory that start a flush"}
	knobLogFile   = env.Knob{Name: "storage.log.file", Default: 16 << 20, Min: 4 << 10, Max: 256 << 20, Doc: "bytes after which the log goes on in a new file"}
	knobLogBuffer = env.Knob{Name: "storage.log.buffer", Default: 64 << 10, Min: 1, Max: 1 << 20, Doc: "bytes of queued records that are written although nobody waits for a sync"}
	knobBlock     = env.Knob{Name: "storage.block", Default: 4 << 10, Min: 64, Max: 64 << 10, Doc: "bytes of a table's block"}
	knobTable     = env.Knob{Name: "storage.table", Default: 2 << 20, Min: 4 << 10, Max: 64 << 20, Doc: "bytes of a table that a compaction writes"}
	knobLevelBase = env.Knob{Name: "storage.level.base", Default: 8 << 20, Min: 8 << 10, Max: 256 << 20, Doc: "bytes that level 1 may hold"}
	knobLevelGrow = env.Knob{Name: "storage.level.factor", Default: 10, Min: 2, Max: 20, Doc: "how many times as much each next level may hold"}
	knobLevel0    = env.Knob{Name: "storage.level0.tables", Default: 4, Min: 1, Max: 20, Doc: "tables in level 0 that start a compaction"}
	knobCache     = env.Knob{Name: "storage.cache", Default: 8 << 20, Min: 0, Max: 256 << 20, Doc: "bytes of blocks kept in memory"}
	knobManifest  = env.Knob{Name: "storage.manifest", Default: 256 << 10, Min: 256, Max: 16 << 20, Doc: "bytes after which the manifest is begun anew"}
)

// Knobs lists the tunables of this room.
func Knobs() []*env.Knob {
	return []*env.Knob{&knobMemtable, &knobLogFile, &knobLogBuffer, &knobBlock, &knobTable,
		&knobLevelBase, &knobLevelGrow, &knobLevel0, &knobCache, &knobManifest}
}

// limits are the values in force, read once: Commit is too hot to ask each time.
type limits struct {
	memtable, logFile           int64
	logBuffer, block            int
	table, levelBase, levelGrow int64
	level0                      int
	cache, manifest             int64
}

func readLimits(p env.Process) limits {
	return limits{
		memtable: p.Knob(&knobMemtable), logFile: p.Knob(&knobLogFile),
		logBuffer: int(p.Knob(&knobLogBuffer)), block: int(p.Knob(&knobBlock)),
		table: p.Knob(&knobTable), levelBase: p.Knob(&knobLevelBase),
		levelGrow: p.Knob(&knobLevelGrow), level0: int(p.Knob(&knobLevel0)),
		cache: p.Knob(&knobCache), manifest: p.Knob(&knobManifest),
	}
}

// The rare points of this room.
const (
	ProbeLogWrite       env.Probe = "storage: log about to be written"
	ProbeLogCreated     env.Probe = "storage: log file created, nothing in it"
	ProbeBeforeSync     env.Probe = "storage: batch written, before sync"
	ProbeAfterSync      env.Probe = "storage: batch synced, before it is acknowledged"
	ProbeTableWritten   env.Probe = "storage: table written, before manifest"
	ProbeManifestSynced env.Probe = "storage: manifest written, before old files removed"
	ProbeManifestNew    env.Probe = "storage: new manifest written, before CURRENT names it"
	ProbeCurrentRenamed env.Probe = "storage: CURRENT renamed, before its directory is synced"
	ProbeFileRemoved    env.Probe = "storage: an obsolete file was removed"
	ProbeCompacted      env.Probe = "storage: compaction written, before manifest"
	ProbeReplayed       env.Probe = "storage: log replayed, before its table is written"
	ProbeTornTail       env.Probe = "storage: log ended in a torn record"
	ProbeElided         env.Probe = "storage: compaction dropped a range deletion for good"
)

// Probes lists the rare points of this room.
func Probes() []env.Probe {
	return []env.Probe{ProbeLogWrite, ProbeLogCreated, ProbeBeforeSync, ProbeAfterSync, ProbeTableWritten,
		ProbeManifestSynced, ProbeManifestNew, ProbeCurrentRenamed, ProbeFileRemoved, ProbeCompacted,
		ProbeReplayed, ProbeTornTail, ProbeElided}
}
