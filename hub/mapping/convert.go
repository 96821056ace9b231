package mapping

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// scalarText is the text of a leaf.
func scalarText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return string(x), true
	case bool:
		return strconv.FormatBool(x), true
	}
	return "", false
}

// Forms of days and times that have a name.
const (
	formDate     = "date"      // YYYY-MM-DD
	formDateTime = "date-time" // RFC 3339
	formMonth    = "month"     // YYYY-MM
	formYear     = "year"      // YYYY
)

type dateForm struct {
	in  []string // layouts of package time
	out string   // layout
	at  bool     // the result is a moment, so the zone counts
}

func layoutOf(name string) string {
	switch name {
	case formDate:
		return time.DateOnly
	case formDateTime:
		return time.RFC3339
	case formMonth:
		return "2006-01"
	case formYear:
		return "2006"
	}
	return name
}

// convert reads a day or moment in the first layout that fits. Days without a
// zone are days in zone; a moment becomes the day it is there.
func (d *dateForm) convert(s string, zone *time.Location) (string, bool) {
	for _, layout := range d.in {
		t, err := time.ParseInLocation(layout, s, zone)
		if err != nil {
			continue
		}
		if y := t.Year(); y < 1 || y > 9999 {
			return "", false
		}
		if layout == time.RFC3339 || d.at {
			t = t.In(zone)
		}
		return t.Format(d.out), true
	}
	return "", false
}

type decimalForm struct {
	italian bool
	digits  int // after the point
}

const maxDecimal = 40 // digits

// convert gives a decimal with exactly the wanted digits after the point. One
// that has more of them, other than zeros, does not fit.
func (d *decimalForm) convert(s string) (string, bool) {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	point := "."
	if d.italian {
		point = ","
	}
	whole, fraction, hasPoint := strings.Cut(s, point)
	if d.italian {
		var ok bool
		if whole, ok = ungroup(whole); !ok {
			return "", false
		}
	}
	if whole == "" || len(s) > maxDecimal || !allDigits(whole) || !allDigits(fraction) || (hasPoint && fraction == "") {
		return "", false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if len(fraction) > d.digits {
		if strings.Trim(fraction[d.digits:], "0") != "" {
			return "", false
		}
		fraction = fraction[:d.digits]
	}
	fraction += strings.Repeat("0", d.digits-len(fraction))
	if strings.Trim(whole+fraction, "0") == "" {
		sign = ""
	}
	if d.digits == 0 {
		return sign + whole, true
	}
	return sign + whole + "." + fraction, true
}

// ungroup takes the points of thousands away, where they stand in threes.
func ungroup(s string) (string, bool) {
	groups := strings.Split(s, ".")
	if len(groups) == 1 {
		return s, true
	}
	for i, g := range groups {
		if (i > 0 && len(g) != 3) || (i == 0 && (g == "" || len(g) > 3)) {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// cutText keeps at most n characters.
func cutText(s string, n int) (string, bool) {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s, false
	}
	i := 0
	for range n {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return strings.TrimRight(s[:i], " "), true
}

// as gives a text another kind.
func as(kind, s string) (any, bool) {
	switch kind {
	case "integer":
		n := strings.TrimLeft(strings.TrimPrefix(s, "-"), "0")
		if s == "" || s == "-" || len(n) > maxDecimal || !allDigits(strings.TrimPrefix(s, "-")) {
			return nil, false
		}
		if n == "" {
			return json.Number("0"), true
		}
		if s[0] == '-' {
			n = "-" + n
		}
		return json.Number(n), true
	case "number":
		if len(s) > maxDecimal || !jsonNumber.MatchString(s) {
			return nil, false
		}
		return json.Number(s), true
	case "boolean":
		switch s {
		case "true":
			return true, true
		case "false":
			return false, true
		}
		return nil, false
	}
	return s, true
}
