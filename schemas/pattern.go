package schemas

import (
	"regexp/syntax"
	"strings"
)

// Budgets of one pattern.
const (
	maxPatternBytes = 512
	maxPatternCost  = 4_000 // instructions of the compiled program, estimated
)

// lintPattern admits what ECMA 262 (which draft-07 names) and Go's RE2 read in
// the same way, and what is cheap to compile. Lengths and classes are counted
// in code points, as with ECMA's u flag. It answers an empty rule if all is well.
//
// Left out because the two differ: "." and \s (other line ends and spaces),
// \b, \p, flags, named groups, look-around, back references, empty classes,
// nested brackets and unescaped braces that are no count.
func lintPattern(src string) (rule, advice string) {
	if len(src) > maxPatternBytes {
		return "pattern_too_long", "at most 512 bytes: split it, or use a code list"
	}
	s := patternScan{src: src}
	if advice := s.scan(); advice != "" {
		return "pattern_dialect", advice
	}
	re, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return "pattern_invalid", "not a regular expression that RE2 reads: " + string(regexpCode(err))
	}
	if patternCost(re) > maxPatternCost {
		return "pattern_costly", "repetitions multiply to a program that is too large: lower the counts, or bound the length with maxLength"
	}
	return "", ""
}

func regexpCode(err error) syntax.ErrorCode {
	if e, ok := err.(*syntax.Error); ok { // never wrapped by syntax.Parse
		return e.Code
	}
	return syntax.ErrInternalError
}

// patternCost estimates the compiled program before it is built: counted
// repetitions are written out by the compiler.
func patternCost(re *syntax.Regexp) int {
	cost := 1 + len(re.Rune)/2
	for _, sub := range re.Sub {
		cost += patternCost(sub)
		if cost > maxPatternCost {
			return cost
		}
	}
	if re.Op == syntax.OpRepeat {
		cost *= max(re.Min, re.Max, 1)
	}
	return cost
}

type patternScan struct {
	src string
	i   int
}

// scan walks the pattern outside of classes.
func (s *patternScan) scan() string {
	for s.i < len(s.src) {
		c := s.src[s.i]
		switch {
		case c == '\\':
			if advice := s.escape(false); advice != "" {
				return advice
			}
			continue
		case c == '[':
			if advice := s.class(); advice != "" {
				return advice
			}
			continue
		case c == '.':
			return `"." stops at other line ends in ECMA than here: use a class such as [^\n\r]`
		case c == '(' && strings.HasPrefix(s.src[s.i:], "(?") && !strings.HasPrefix(s.src[s.i:], "(?:"):
			return "only (?:...) groups: no flags, names, look-around"
		case c == '{':
			if !s.count() {
				return `escape { and } where they are no count: \{ \}`
			}
			continue
		case c == '}' || c == ']':
			return `escape { } ] where they stand for themselves`
		case c < 0x20 || c >= 0x7F:
			return "ASCII only, without control characters"
		}
		s.i++
	}
	return ""
}

// escape reads an escape; the same few mean the same in both dialects.
func (s *patternScan) escape(inClass bool) string {
	if s.i+1 >= len(s.src) {
		return "the pattern ends in a backslash"
	}
	c := s.src[s.i+1]
	s.i += 2
	switch {
	case strings.IndexByte(`\/.^$|?*+()[]{}-`, c) >= 0:
	case strings.IndexByte("dDwWtnr", c) >= 0:
		if inClass && strings.IndexByte("dDwW", c) >= 0 && s.i < len(s.src) && s.src[s.i] == '-' && !strings.HasPrefix(s.src[s.i:], "-]") {
			return `a range cannot start at \d or \w`
		}
	default:
		return `of the escapes only \d \D \w \W \t \n \r and escaped punctuation mean the same everywhere`
	}
	return ""
}

func (s *patternScan) class() string {
	s.i++
	if strings.HasPrefix(s.src[s.i:], "^") {
		s.i++
	}
	if strings.HasPrefix(s.src[s.i:], "]") {
		return "empty classes mean different things: name at least one character"
	}
	for s.i < len(s.src) {
		c := s.src[s.i]
		switch {
		case c == ']':
			s.i++
			return ""
		case c == '\\':
			if advice := s.escape(true); advice != "" {
				return advice
			}
			continue
		case c == '[':
			return `escape [ inside a class: \[`
		case c == '-' && s.i+2 < len(s.src) && s.src[s.i+1] == '\\' && strings.IndexByte("dDwW", s.src[s.i+2]) >= 0:
			return `a range cannot end at \d or \w`
		case c < 0x20:
			return "no control characters"
		}
		s.i++
	}
	return "a class is not closed"
}

// count reads {n}, {n,} or {n,m}.
func (s *patternScan) count() bool {
	end := strings.IndexByte(s.src[s.i:], '}')
	if end < 0 {
		return false
	}
	low, high, comma := strings.Cut(s.src[s.i+1:s.i+end], ",")
	if !allDigits(low) || comma && high != "" && !allDigits(high) {
		return false
	}
	s.i += end + 1
	return true
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
