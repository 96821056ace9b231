package schemas

import "encoding/json"

// number reads a number in RFC 8259 grammar, within the limits.
func (p *parser) number() (any, bool) {
	start := p.pos
	negative := p.src[p.pos] == '-'
	if negative {
		p.pos++
	}
	zero := true
	whole := p.digits(&zero)
	switch {
	case whole == 0:
		return nil, p.badNumber("number_syntax")
	case whole > 1 && p.src[p.pos-whole] == '0':
		return nil, p.badNumber("leading_zero")
	}
	digits := whole
	if p.pos < len(p.src) && p.src[p.pos] == '.' {
		p.pos++
		fraction := p.digits(&zero)
		if fraction == 0 {
			return nil, p.badNumber("number_syntax")
		}
		digits += fraction
	}
	if digits > p.limits.MaxNumberDigits {
		return nil, p.badNumber("number_digits")
	}
	if p.pos < len(p.src) && p.src[p.pos]|0x20 == 'e' {
		p.pos++
		if !p.exponent() {
			return nil, false
		}
	}
	if negative && zero {
		return nil, p.badNumber("negative_zero")
	}
	return json.Number(p.src[start:p.pos]), true
}

// digits skips digits, counts them and clears zero at one that is not 0.
func (p *parser) digits(zero *bool) int {
	start := p.pos
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c < '0' || c > '9' {
			break
		}
		if c != '0' {
			*zero = false
		}
		p.pos++
	}
	return p.pos - start
}

func (p *parser) exponent() bool {
	if p.pos < len(p.src) && (p.src[p.pos] == '+' || p.src[p.pos] == '-') {
		p.pos++
	}
	start, value := p.pos, 0
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		value = value*10 + int(p.src[p.pos]-'0')
		if p.pos++; value > p.limits.MaxExponent || p.pos-start > 8 {
			return p.badNumber("number_exponent")
		}
	}
	if p.pos == start {
		return p.badNumber("number_syntax")
	}
	return true
}
