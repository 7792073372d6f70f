package source

import "testing"

// A load gives our own packages with their types, and imports resolve to the
// export data of packages outside the module.
func TestLoad(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(root, "./sim/env")
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Packages) != 1 || set.Packages[0].Rel() != "sim/env" {
		t.Fatalf("loaded %v", set.Packages)
	}
	p := set.Packages[0]
	if p.Types.Scope().Lookup("Env") == nil {
		t.Fatal("sim/env has no Env")
	}
	if at := set.Position(p.Files[0].Pos()); at.Filename[:8] != "sim/env/" {
		t.Fatalf("position %v is not relative to the root", at)
	}
}

// A package that does not exist is an error, not an empty answer.
func TestLoadMissing(t *testing.T) {
	if _, err := Load(".", "./nowhere"); err == nil {
		t.Fatal("no error")
	}
}
