// Package workloads holds what clients do to the system under test.
package workloads
