package schemas

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// linearKeys is the size of an object up to which twins are looked for member
// by member; above it a set is made when the object ends.
const linearKeys = 64

// twin reports whether k, case ignored, is already among the members.
func twin(members []pair, k knownKey) bool {
	if len(members) > linearKeys {
		return false
	}
	for i := range members {
		if members[i].fold == k.fold && strings.EqualFold(members[i].key, k.name) {
			return true
		}
	}
	return false
}

func hasDuplicates(members []pair) bool {
	seen := make(map[string]struct{}, len(members))
	for i := range members {
		f := fold(members[i].key)
		if _, ok := seen[f]; ok {
			return true
		}
		seen[f] = struct{}{}
	}
	return false
}

// fold maps strings that are equal under simple case folding to one string.
func fold(s string) string { return strings.Map(foldRune, s) }

// foldRune is the smallest rune of r's folding orbit: upper case for ASCII
// letters, so that the Kelvin sign and k, or the long s and s, meet.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	low := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		low = min(low, next)
	}
	return low
}

// foldHash is FNV-1a over the folded runes. Equal hashes are compared again:
// the hash only saves work.
func foldHash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, r := range s {
		h = (h ^ uint64(foldRune(r))) * 1099511628211
	}
	return h
}
