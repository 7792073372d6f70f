package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"

	"simulacrum/internal/source"
)

// Sizes beyond which a file or function is mentioned, and beyond which it fails.
const (
	fileTarget, fileCap = 500, 700
	funcTarget, funcCap = 70, 120
)

// flat is the annotation of a function or file that is long because it is flat,
// such as a dispatch over all requests: //house:flat <reason>.
const flat = "//house:flat "

// tooLong is a size problem. fails tells whether it is beyond the cap.
type tooLong struct {
	text  string
	fails bool
}

// sizeProblems measures the files and functions of one package. Generated files
// are left out.
func sizeProblems(set *source.Set, p *source.Package) []tooLong {
	var out []tooLong
	for _, f := range p.Files {
		if ast.IsGenerated(f) {
			continue
		}
		at := set.Position(f.FileStart)
		lines := set.Fset.Position(f.FileEnd).Line
		if lines > fileTarget && !annotated(f.Doc, flat) {
			out = append(out, tooLong{fmt.Sprintf("%s: file of %d lines (target %d, cap %d); a file is one noun: split it", at.Filename, lines, fileTarget, fileCap), lines > fileCap})
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || annotated(fn.Doc, flat) {
				continue
			}
			if n := span(set.Fset, fn); n > funcTarget {
				out = append(out, tooLong{fmt.Sprintf("%s: function %s of %d lines (target %d, cap %d); split it, or annotate flat dispatch with %s<reason>", at.Filename, fn.Name.Name, n, funcTarget, funcCap, flat), n > funcCap})
			}
		}
	}
	return out
}

func span(fset *token.FileSet, n ast.Node) int {
	return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1
}

func annotated(doc *ast.CommentGroup, marker string) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if rest, ok := strings.CutPrefix(c.Text, marker); ok && strings.TrimSpace(rest) != "" {
			return true
		}
	}
	return false
}

// docProblems checks that the package has one package comment, which opens as Go
// documentation does and says more than its name.
func docProblems(set *source.Set, p *source.Package) []string {
	opening := "Package " + p.Types.Name() + " "
	if p.Types.Name() == "main" {
		opening = strings.ToUpper(lastElement(p.Path)[:1]) + lastElement(p.Path)[1:] + " "
	}
	var docs []string
	for _, f := range p.Files {
		if f.Doc != nil {
			docs = append(docs, set.Position(f.Package).Filename)
			if text := f.Doc.Text(); !strings.HasPrefix(text, opening) && !strings.HasPrefix(text, "Command "+lastElement(p.Path)) {
				return []string{fmt.Sprintf("%s: the package comment must open with %q and say what the room is for", docs[0], opening)}
			} else if len(text) < len(opening)+40 {
				return []string{docs[0] + ": the package comment says too little: what is the room for, what may fail under it, what does it promise nevertheless"}
			}
		}
	}
	if len(docs) != 1 {
		return []string{fmt.Sprintf("%s has %d package comments; it needs one, in doc.go", p.Rel(), len(docs))}
	}
	return nil
}

func lastElement(path string) string { return path[strings.LastIndex(path, "/")+1:] }
