package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"simulacrum/db/server"
	"simulacrum/nemesis"
	"simulacrum/scenarios"
	"simulacrum/workloads"
)

// newRunner is the runner of this build.
func newRunner() runner { return house{} }

// house runs the scenarios of this repository.
type house struct{}

// Scenarios puts the default one first.
func (house) Scenarios() []string {
	names := scenarios.List()
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	return names
}

func rankOf(scenario string) int {
	if scenario == "default" {
		return 0
	}
	return 1
}

func (house) Check(q request) error {
	_, err := resolve(q)
	return err
}

// resolve is the scenario of a request, with every draw made. What is wrong with
// scenario or plan is a *usageError.
func resolve(q request) (*scenarios.Resolved, error) {
	s, err := scenarios.Load(q.Scenario)
	if err != nil {
		u := &usageError{What: err.Error()}
		if errors.Is(err, os.ErrNotExist) {
			u.Remedy = "simulate -list names the scenarios that need no file"
		}
		return nil, u
	}
	if q.Duration > 0 {
		shorten(s, q.Duration)
	}
	if q.Plan != "" {
		if err := replay(s, q.Plan); err != nil {
			return nil, err
		}
	}
	if q.Duration > 0 || q.Plan != "" {
		whole := s
		if s, err = scenarios.Parse(whole.String()); err != nil { // the rules of files hold for flags
			if q.Plan != "" {
				if u := misfit(whole, q.Plan); u != nil {
					return nil, u
				}
			}
			_, what, _ := strings.Cut(err.Error(), ": ") // its line is not in any file
			return nil, &usageError{What: fmt.Sprintf("%s with -duration or -plan: %s", q.Scenario, what)}
		}
	}
	r, err := s.Resolve(q.Seed, server.Knobs(), server.Probes())
	if err != nil {
		u := &usageError{File: q.Scenario, What: err.Error()}
		var knob *scenarios.KnobError
		if errors.As(err, &knob) {
			u.Line = lineWith(q.Scenario, fmt.Sprintf("%q", knob.Knob))
		}
		return nil, u
	}
	return r, nil
}

// lineWith is the number of the first line of a file that holds the text, or 0.
func lineWith(file, text string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for i, l := range strings.Split(string(content), "\n") {
		if strings.Contains(l, text) {
			return i + 1
		}
	}
	return 0
}

// misfit finds the fault of a plan's file that does not fit its scenario, nil if
// all do: each is tried alone.
func misfit(s *scenarios.Scenario, file string) *usageError {
	alone := *s
	for i := range s.Faults.Plan {
		alone.Faults.Plan = s.Faults.Plan[i : i+1]
		_, err := scenarios.Parse(alone.String())
		if err == nil {
			continue
		}
		_, what, _ := strings.Cut(err.Error(), ": ")
		return &usageError{File: file, Line: faultLine(file, i), What: what}
	}
	return nil
}

// faultLine is the line of the i-th fault of a plan's file.
func faultLine(file string, i int) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for n, l := range strings.Split(string(content), "\n") {
		if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if i == 0 {
			return n + 1
		}
		i--
	}
	return 0
}

// shorten gives the scenario another duration. The fault window keeps its place in
// proportion.
func shorten(s *scenarios.Scenario, d time.Duration) {
	scale := func(t scenarios.Duration) scenarios.Duration {
		ratio := float64(d) / float64(s.Duration)
		return scenarios.Duration(time.Duration(float64(t) * ratio).Round(time.Millisecond))
	}
	s.Faults.From, s.Faults.To = scale(s.Faults.From), scale(s.Faults.To)
	s.Duration = scenarios.Duration(d)
}

// replay has the scenario do exactly the faults of a recorded plan.
func replay(s *scenarios.Scenario, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return &usageError{What: err.Error(), Remedy: "a run writes its plan into its folder below simulate-out"}
	}
	plan, err := nemesis.ParsePlan(string(text))
	var at *nemesis.LineError
	switch {
	case errors.As(err, &at):
		return &usageError{File: file, Line: at.Line, What: at.Err.Error()}
	case err != nil:
		return &usageError{File: file, What: err.Error()}
	}
	s.Faults.Families, s.Faults.Plan = []string{}, []string{}
	for _, f := range plan.Faults {
		s.Faults.Plan = append(s.Faults.Plan, f.String())
	}
	return nil
}

// Catalog lists everything that can be named.
func (h house) Catalog() []section {
	return []section{
		{"scenarios", scenarioEntries(h.Scenarios())},
		{"workloads", workloadEntries()},
		{"faults", faultEntries()},
		{"checks", checkEntries()},
		{"probes", probeEntries()},
		{"knobs", knobEntries()},
	}
}

func scenarioEntries(names []string) []entry {
	var list []entry
	for _, name := range names {
		s, err := scenarios.Load(name)
		if err != nil {
			panic("simulate: an embedded scenario does not load: " + err.Error())
		}
		list = append(list, entry{name, strings.Join(strings.Fields(s.Doc), " ")})
	}
	return list
}

func workloadEntries() []entry {
	var list []entry
	for _, name := range workloads.Names() {
		list = append(list, entry{name, workloads.Doc(name)})
	}
	return list
}

func faultEntries() []entry {
	var list []entry
	for _, k := range nemesis.Kinds() {
		list = append(list, entry{k.String(), k.Family().String()})
	}
	return list
}

func checkEntries() []entry {
	var list []entry
	for _, c := range scenarios.CheckDocs() {
		list = append(list, entry{c.Name, c.Doc})
	}
	return list
}

func probeEntries() []entry {
	var list []entry
	for _, p := range server.Probes() {
		list = append(list, entry{string(p), ""})
	}
	return list
}

func knobEntries() []entry {
	var list []entry
	for _, k := range server.Knobs() {
		list = append(list, entry{k.Name, fmt.Sprintf("%s, from %s to %s: %s", knobValue(k, k.Default), knobValue(k, k.Min), knobValue(k, k.Max), k.Doc)})
	}
	return list
}
