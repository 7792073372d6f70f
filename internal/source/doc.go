// Package source loads the packages of this module as the house's own tests see
// them: parsed with comments and type-checked, without their test files. Packages
// outside the module come from the compiler's export data, so that a load of the
// whole house costs one `go list` and a type-check of our own code.
//
// Loading fails on code that does not compile; it never guesses.
package source
