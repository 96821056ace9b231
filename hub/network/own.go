package network

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// OwnName is a place at which a producer's own format names the body a record
// is of, and the name that is the producer's: nobody pushes another body's
// document as one's own.
type OwnName struct {
	Path   exchange.Pointer
	Equals string
}

// RuleNotOwnBody is the rule of a fault where a record names another body.
const RuleNotOwnBody = "not_own_body"

// Foreign is a fault, without the name found, for each place of Own at which t
// names another body. t is valid under Schema; a place that t does not fill
// names nobody.
func (p *Production) Foreign(t exchange.Tree) []exchange.Fault {
	var out []exchange.Fault
	for _, o := range p.Own {
		if v, ok := t.At(o.Path); ok && v != nil && v != o.Equals {
			out = append(out, exchange.Fault{Pointer: o.Path, Rule: RuleNotOwnBody})
		}
	}
	return out
}

type ownDecl struct {
	path, equals placed[string]
}

func readOwn(v value) []ownDecl {
	var out []ownDecl
	for _, item := range v.list() {
		o := item.object("path", "equals")
		p, e := o.need("path"), o.need("equals")
		d := ownDecl{place(p, p.text()), place(e, e.text())}
		if d.path.v == "" || d.equals.v == "" {
			continue // its fault is reported
		}
		if slices.ContainsFunc(out, func(before ownDecl) bool { return before.path.v == d.path.v }) {
			p.fault("remove one of them", "%q is there twice", clip(d.path.v))
			continue
		}
		out = append(out, d)
	}
	return out
}

// resolveOwn holds the places to the schema of what is pushed: each is a text
// that every record has at most once, and the name is one it can hold.
func (l *loader) resolveOwn(p *productionDecl, out *Production) {
	for _, o := range p.own {
		path := exchange.Pointer(o.path.v)
		property, ok := out.Schema.Property(path)
		switch {
		case !ok:
			l.addAt(o.path.at, "a JSON pointer into what the system sends, for example /ente", "%s has no %q", out.sent(), clip(o.path.v))
		case slices.Contains(path.Tokens(), "*"):
			l.addAt(o.path.at, "name a place outside of lists", "%q is below a list, and a record is of one body", clip(o.path.v))
		case property.Type != "string":
			l.addAt(o.path.at, "name a text", "%q of %s holds no text", clip(o.path.v), out.sent())
		default:
			if why := misfit(property, o.equals.v); why != "" {
				l.addAt(o.equals.at, "write the name as the system sends it", "%q can never be at %s of %s: %s",
					clip(o.equals.v), path, out.sent(), why)
				continue
			}
			out.Own = append(out.Own, OwnName{Path: path, Equals: o.equals.v})
		}
	}
}

func (p *Production) sent() string {
	if p.Format == "" {
		return "the canonical " + string(p.RecordType)
	}
	return "format " + string(p.Format)
}

// misfit says why s cannot be a value of p, "" if it can.
func misfit(p schemas.Property, s string) string {
	n := utf8.RuneCountInString(s)
	switch {
	case p.Enum != nil && !slices.Contains(p.Enum, s):
		return "it is none of " + clip(strings.Join(p.Enum, ", "))
	case n < p.MinLength:
		return "it is too short"
	case p.MaxLength > 0 && n > p.MaxLength:
		return "it is too long"
	case p.Pattern != "":
		// Patterns are of a dialect that RE2 reads: the schema's check has seen to it.
		if re, err := regexp.Compile(p.Pattern); err != nil || !re.MatchString(s) {
			return "it does not match " + p.Pattern
		}
	}
	return ""
}
