package schemas

// Limits bound what the byte gate reads. All are inclusive; the zero value
// refuses everything.
type Limits struct {
	MaxBytes        int  // of the whole document
	MaxDepth        int  // nested objects and arrays; the root counts as one
	MaxNodes        int  // values, keys not counted
	MaxKeyBytes     int  // of one key
	MaxStringBytes  int  // of one string, decoded
	MaxNumberDigits int  // digits before the exponent
	MaxExponent     int  // absolute value of the exponent
	AnyRoot         bool // also let a root that is no object through
}

// DefaultLimits fit every record type of the catalogue with room to spare.
// Numbers stay far inside what a float64 can hold, so that no later step
// overflows (reliability.md B1, B2).
func DefaultLimits() Limits {
	return Limits{
		MaxBytes:        1 << 20,
		MaxDepth:        64,
		MaxNodes:        20_000,
		MaxKeyBytes:     128,
		MaxStringBytes:  256 << 10,
		MaxNumberDigits: 40,
		MaxExponent:     100,
	}
}
