// Package rules is a made-up system under test: patches remove its rules.
package rules

// Safe is false when a rule was removed and the seed shows it.
func Safe(seed int) bool {
	if seed < 0 {
		return false
	}
	return true
}

// Live is false when the system stalls.
func Live(seed int) bool {
	return true
}

// Sane panics when the system is out of its mind.
func Sane(seed int) {
}

// Old is broken without any patch, at one seed.
func Old(seed int) bool {
	return seed == 40
}
