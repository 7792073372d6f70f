package disk

import (
	"maps"
	"slices"
)

// inode is a file or a directory. It lives as long as something refers to it: a
// name in the cache, a name on the medium, an operation in the journal, a handle.
type inode struct {
	id    uint64
	dir   *directory // nil for a file
	file  content
	links int // names in the cache
	opens int // handles of the current mount
}

// directory has its names twice: as processes see them, and as they would be
// after a power loss that dropped everything in the journal.
type directory struct {
	live    map[string]*inode
	durable map[string]*inode
}

// names lists a map of entries in order: no result depends on a map's order.
func names(m map[string]*inode) []string {
	return slices.Sorted(maps.Keys(m))
}
