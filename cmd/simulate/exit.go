package main

// Exit codes. They are promised to scripts and never change their meaning.
const (
	exitOK               = 0
	exitInternal         = 1
	exitUsage            = 2
	exitSafety           = 3
	exitLiveness         = 4
	exitNotDeterministic = 5
	exitUnknown          = 6
	exitVacuous          = 7
)

// gravity orders the exit codes of runs, the gravest first.
var gravity = [...]int{exitInternal, exitNotDeterministic, exitSafety, exitLiveness, exitUnknown, exitVacuous, exitOK}

// outcomes name exit codes in reports.
var outcomes = [...]string{
	exitOK: "ok", exitInternal: "internal error", exitUsage: "usage", exitSafety: "safety violation",
	exitLiveness: "liveness violation", exitNotDeterministic: "not deterministic", exitUnknown: "unknown", exitVacuous: "vacuous",
}

// gravest is the worse of two exit codes of runs.
func gravest(a, b int) int {
	for _, code := range gravity {
		if a == code || b == code {
			return code
		}
	}
	return a
}

// judge fills in the result's exit code and outcome from all that it says. A
// verdict in a word that is not known is an internal error.
func (r *result) judge() {
	code := exitOK
	if r.Difference != "" {
		code = exitNotDeterministic
	}
	if r.Internal != "" {
		code = exitInternal
	}
	for _, v := range r.Verdicts {
		code = gravest(code, v.exit())
	}
	r.Exit, r.Outcome = code, outcomes[code]
}

func (v verdict) exit() int {
	switch v.Verdict {
	case wordOK:
		return exitOK
	case wordViolation:
		if v.Liveness {
			return exitLiveness
		}
		return exitSafety
	case wordUnknown:
		return exitUnknown
	case wordVacuous:
		return exitVacuous
	}
	return exitInternal
}
