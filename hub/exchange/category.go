package exchange

import (
	"encoding/hex"
	"math/bits"
)

// Category is the number of a category of personal data. Numbers are those of
// schemas/catalog/categories.csv: fixed for ever, 0..127, so that sets of them
// fit a ledger row.
type Category uint8

// MaxCategories bounds the numbers a [CategorySet] can hold.
const MaxCategories = 128

// CategorySet is a set of categories.
type CategorySet [2]uint64

// NewCategorySet holds the given ones.
func NewCategorySet(cs ...Category) CategorySet {
	var s CategorySet
	for _, c := range cs {
		s = s.With(c)
	}
	return s
}

// With adds c; numbers from [MaxCategories] on are a programmer's error.
func (s CategorySet) With(c Category) CategorySet { s[c>>6] |= 1 << (c & 63); return s }

// Has reports whether c is in s.
func (s CategorySet) Has(c Category) bool { return s[c>>6]&(1<<(c&63)) != 0 }

// Union is everything in s or o.
func (s CategorySet) Union(o CategorySet) CategorySet { return CategorySet{s[0] | o[0], s[1] | o[1]} }

// Minus is everything in s that is not in o.
func (s CategorySet) Minus(o CategorySet) CategorySet {
	return CategorySet{s[0] &^ o[0], s[1] &^ o[1]}
}

// Intersect is everything in both.
func (s CategorySet) Intersect(o CategorySet) CategorySet {
	return CategorySet{s[0] & o[0], s[1] & o[1]}
}

// Within reports whether all of s is in o.
func (s CategorySet) Within(o CategorySet) bool { return s.Minus(o).Empty() }

// Empty reports whether there is none.
func (s CategorySet) Empty() bool { return s == CategorySet{} }

// Len counts the categories.
func (s CategorySet) Len() int { return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) }

// Each is every category in ascending order.
func (s CategorySet) Each() []Category {
	out := make([]Category, 0, s.Len())
	for c := range Category(MaxCategories) {
		if s.Has(c) {
			out = append(out, c)
		}
	}
	return out
}

// Bytes is the big-endian 16-byte form used in ledger rows.
func (s CategorySet) Bytes() [16]byte {
	var b [16]byte
	for i := range 8 {
		b[i] = byte(s[1] >> (56 - 8*i))
		b[8+i] = byte(s[0] >> (56 - 8*i))
	}
	return b
}

// CategorySetFromBytes reads what [CategorySet.Bytes] wrote.
func CategorySetFromBytes(b [16]byte) CategorySet {
	var s CategorySet
	for i := range 8 {
		s[1] = s[1]<<8 | uint64(b[i])
		s[0] = s[0]<<8 | uint64(b[8+i])
	}
	return s
}

func (s CategorySet) String() string { b := s.Bytes(); return hex.EncodeToString(b[:]) }
