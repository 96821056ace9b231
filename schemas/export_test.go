package schemas

import "raccordo/hub/exchange"

// Agree reports whether the quick test, where it is sure, says of a tree what
// the reference validator says, and whether it was sure.
func (s *Schema) Agree(tree exchange.Tree) (agree, certain bool) {
	valid := len(s.reference(tree.Value())) == 0
	v := s.quick.test(tree.Value())
	return v == unsure || (v == yes) == valid, v != unsure
}
