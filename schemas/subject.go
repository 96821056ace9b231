package schemas

import (
	"raccordo/hub/exchange"
)

// SubjectKind says whom a place of a record speaks about.
type SubjectKind string

// The kinds. PrincipalFirst stands on a list of persons whose first is the
// principal and whose others are affected.
const (
	SubjectPrincipal      SubjectKind = "principal"
	SubjectAffected       SubjectKind = "affected"
	SubjectPrincipalFirst SubjectKind = "principal_first"
)

func (k SubjectKind) valid() bool {
	return k == SubjectPrincipal || k == SubjectAffected || k == SubjectPrincipalFirst
}

// SubjectPlace is where a schema says that a person is found.
type SubjectPlace struct {
	Person      exchange.Pointer // what is cut out when the person is pruned; * for items
	Identifiers exchange.Pointer // the list of {system, value} inside it
	Kind        SubjectKind
}

// Person is one person found in a tree.
type Person struct {
	Place       exchange.Pointer   // what is cut out when the person is pruned
	Identifiers []exchange.Pointer // each leads to an object {system, value}
	Principal   bool
}

// Subjects are the places of persons.
func (s *Schema) Subjects() []SubjectPlace { return append([]SubjectPlace(nil), s.subjects...) }

// Persons finds the persons in a valid tree, the principal first, the others
// in order of place.
func (s *Schema) Persons(tree exchange.Tree) []Person {
	var principal, affected []Person
	s.root.persons(tree.Value(), "", func(p Person) {
		if p.Principal {
			principal = append(principal, p)
		} else {
			affected = append(affected, p)
		}
	})
	return append(principal, affected...)
}

func (n *node) persons(v any, at exchange.Pointer, found func(Person)) {
	if n.subject != "" {
		n.personsHere(v, at, found)
		return
	}
	switch x := v.(type) {
	case map[string]any:
		for _, name := range n.names {
			if c, ok := x[name]; ok && !n.props[name].leaf() {
				n.props[name].persons(c, at.Append(name), found)
			}
		}
	case []any:
		if n.item == nil || n.item.leaf() {
			return
		}
		for i, c := range x {
			n.item.persons(c, at.Index(i), found)
		}
	}
}

func (n *node) personsHere(v any, at exchange.Pointer, found func(Person)) {
	list, isList := v.([]any)
	if !isList || isIdentifier(n.item) {
		if p, ok := n.person(v, at); ok {
			p.Principal = n.subject != SubjectAffected
			found(p)
		}
		return
	}
	for i, c := range list {
		if p, ok := n.item.person(c, at.Index(i)); ok {
			p.Principal = n.subject == SubjectPrincipal || n.subject == SubjectPrincipalFirst && i == 0
			found(p)
		}
	}
}

// person reads an object with identifiers, or a list of identifiers.
func (n *node) person(v any, at exchange.Pointer) (Person, bool) {
	p := Person{Place: at}
	list, isList := v.([]any)
	if !isList {
		m, _ := v.(map[string]any)
		list, isList = m["identifiers"].([]any)
		at = at.Append("identifiers")
	}
	for i := range list {
		p.Identifiers = append(p.Identifiers, at.Index(i))
	}
	return p, isList
}

func isIdentifier(n *node) bool {
	return n != nil && n.kind == typeObject && n.props["system"] != nil && n.props["value"] != nil
}

func (n *node) isIdentifierList() bool {
	return n != nil && n.kind == typeArray && isIdentifier(n.item)
}

func (n *node) isPerson() bool {
	return n != nil && n.kind == typeObject && n.props["identifiers"].isIdentifierList()
}

// holdsPersons reports whether x-subject may stand on n.
func (n *node) holdsPersons() bool {
	list := n.kind == typeArray && n.item.isPerson()
	switch n.subject {
	case SubjectPrincipalFirst:
		return list
	case SubjectPrincipal:
		return n.isIdentifierList() || n.isPerson()
	}
	return n.isIdentifierList() || n.isPerson() || list
}

func (n *node) subjectPlace() SubjectPlace {
	person, place := n, n.path
	if n.kind == typeArray && n.item.isPerson() {
		person, place = n.item, n.item.path
	}
	ids := place
	if person.kind == typeObject {
		ids = place.Append("identifiers")
	}
	return SubjectPlace{Person: place, Identifiers: ids, Kind: n.subject}
}
