package history

import (
	"bytes"
	"fmt"
	"strings"
)

// maxDepth bounds how deep the parts of an event nest. Events of Jepsen stay
// below ten; what is deeper is no history, and would cost the parser its stack.
const maxDepth = 100

// forms takes a text apart into its events, which are maps, and hands each to
// the caller with the line on which it begins. Events follow one another, or
// stand together in one vector or list. EDN and JSON nest alike, so that one
// splitter serves both; it only counts brackets and leaves the rest to parsers.
//
// Events are cut out first, because neither parser tells lines, and an event that
// nobody can parse should cost no more than a message that names it.
type forms struct {
	text []byte
	at   int
	line int
	// within is the bracket that closes the vector around the events, or 0.
	within byte
	closed bool
}

func newForms(text []byte) *forms {
	return &forms{text: bytes.TrimPrefix(text, []byte("\ufeff")), line: 1}
}

// next is the next event and its line; nil at the end of the text.
func (f *forms) next() (form []byte, line int, err error) {
	for {
		f.space()
		if f.at == len(f.text) {
			if f.within != 0 && !f.closed {
				return nil, f.line, fmt.Errorf("line %d: the text ends and the bracket around the events is not closed; is the file complete?", f.line)
			}
			return nil, f.line, nil
		}
		c := f.text[f.at]
		switch {
		case f.closed:
			return nil, f.line, fmt.Errorf("line %d: something follows the end of the history: %.20q; put all events into one vector, or in none", f.line, f.text[f.at:])
		case c == '{':
			line = f.line
			start := f.at
			if err := f.balanced(); err != nil {
				return nil, line, err
			}
			return f.text[start:f.at], line, nil
		case c == '#':
			f.tag()
		case (c == '[' || c == '(') && f.within == 0:
			f.within = map[byte]byte{'[': ']', '(': ')'}[c]
			f.at++
		case c == f.within:
			f.closed = true
			f.at++
		default:
			return nil, f.line, fmt.Errorf("line %d: expected an event, which is a map as {:type :invoke, :f :read, :process 0, …}, and found %.20q", f.line, f.text[f.at:])
		}
	}
}

// space skips blanks, commas and comments.
func (f *forms) space() {
	for ; f.at < len(f.text); f.at++ {
		switch f.text[f.at] {
		case '\n':
			f.line++
		case ' ', '\t', '\r', '\f', ',':
		case ';':
			f.comment()
		default:
			return
		}
	}
}

// comment goes to the last byte of the line.
func (f *forms) comment() {
	for f.at+1 < len(f.text) && f.text[f.at+1] != '\n' {
		f.at++
	}
}

// tag skips a tag such as #jepsen.history.Op: newer versions of Jepsen print
// events with their type.
func (f *forms) tag() {
	n := bytes.IndexAny(f.text[f.at:], "{[( \n\t")
	if n < 0 {
		n = len(f.text) - f.at
	}
	f.at += max(n, 1)
}

// balanced goes behind the bracket that closes the one here.
func (f *forms) balanced() error {
	begin, depth := f.line, 0
	for ; f.at < len(f.text); f.at++ {
		switch c := f.text[f.at]; c {
		case '\n':
			f.line++
		case '"':
			f.quoted()
		case ';':
			f.comment()
		case '\\': // a character, such as \{
			f.at++
		case '{', '[', '(':
			if depth++; depth > maxDepth {
				return fmt.Errorf("line %d: an event nests more than %d deep; that is no history", f.line, maxDepth)
			}
		case '}', ']', ')':
			if depth--; depth == 0 {
				f.at++
				return nil
			}
		}
	}
	return fmt.Errorf("line %d: an event begins here and does not end; is the file complete?", begin)
}

// quoted goes to the closing quote of a string.
func (f *forms) quoted() {
	for f.at++; f.at < len(f.text); f.at++ {
		switch f.text[f.at] {
		case '\n':
			f.line++
		case '\\':
			f.at++
		case '"':
			return
		}
	}
}

// brief is the beginning of an event, for a message.
func brief(form []byte) string {
	s := strings.Join(strings.Fields(string(form[:min(len(form), 200)])), " ")
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + " …"
	}
	return s
}
