// Package nemesis breaks things: faults as values that print, parse back, start,
// heal, and count what they did.
package nemesis
