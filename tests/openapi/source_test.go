package openapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// source is what the Go source of package api says and reflection does not: comments and constants.
type source struct {
	types  map[string]string            // doc comments
	fields map[string]map[string]string // type → field → comment
	values map[string][]string          // string type → its constants' values, as declared
}

// readSource parses the files of a package that are not tests.
func readSource(t *testing.T, folder string) *source {
	t.Helper()
	s := &source{types: map[string]string{}, fields: map[string]map[string]string{}, values: map[string][]string{}}
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no Go files in %s: %v", folder, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				s.read(general)
			}
		}
	}
	return s
}

func (s *source) read(declaration *ast.GenDecl) {
	for _, spec := range declaration.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			s.types[spec.Name.Name] = sentence(spec.Doc, declaration.Doc)
			if structure, ok := spec.Type.(*ast.StructType); ok {
				s.readFields(spec.Name.Name, structure)
			}
		case *ast.ValueSpec:
			if kind, ok := spec.Type.(*ast.Ident); ok && declaration.Tok == token.CONST {
				for _, value := range spec.Values {
					if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
						text, _ := strconv.Unquote(literal.Value) // the parser took it
						s.values[kind.Name] = append(s.values[kind.Name], text)
					}
				}
			}
		}
	}
}

func (s *source) readFields(name string, structure *ast.StructType) {
	s.fields[name] = map[string]string{}
	for _, field := range structure.Fields.List {
		for _, fieldName := range field.Names {
			s.fields[name][fieldName.Name] = sentence(field.Doc, field.Comment)
		}
	}
}

// sentence is the first comment there is, on one line.
func sentence(comments ...*ast.CommentGroup) string {
	for _, comment := range comments {
		if text := strings.Join(strings.Fields(comment.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

// comment is what stands beside a field of a struct.
func (s *source) comment(structure reflect.Type, field reflect.StructField) string {
	return s.fields[structure.Name()][field.Name]
}
