package schemas

import (
	"time"

	"github.com/xeipuuv/gojsonschema"
)

// formats are the formats that schemas may use; all three are asserted, as
// RFC 3339 section 5.6 defines them (draft-07 validation, 7.3.1).
var formats = map[string]func(string) bool{
	"date":      isDate,
	"time":      isTime,
	"date-time": isDateTime,
}

// privateFormat is the name under which the validator knows our checker. Its
// own "date-time" also takes a bare date or time, and its checkers answer
// numbers with no; draft-07 wants formats to speak about strings only.
func privateFormat(name string) string { return "raccordo-" + name }

type formatChecker func(string) bool

func (f formatChecker) IsFormat(v interface{}) bool {
	s, isText := v.(string)
	return !isText || f(s)
}

// registerFormats makes our checkers known to the validator, whose registry is
// global; the names are ours alone, so doing it again changes nothing.
func registerFormats() {
	for name, check := range formats {
		if !gojsonschema.FormatCheckers.Has(privateFormat(name)) {
			gojsonschema.FormatCheckers.Add(privateFormat(name), formatChecker(check))
		}
	}
}

func isDate(s string) bool {
	if len(s) != len(time.DateOnly) {
		return false
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func isDateTime(s string) bool {
	return len(s) > 11 && s[10]|0x20 == 't' && isDate(s[:10]) && isTime(s[11:])
}

// isTime is RFC 3339's full-time. A leap second is one only at 23:59:60 UTC.
func isTime(s string) bool {
	if len(s) < len("00:00:00Z") || s[2] != ':' || s[5] != ':' {
		return false
	}
	hour, okHour := two(s[0:], 23)
	minute, okMinute := two(s[3:], 59)
	second, okSecond := two(s[6:], 60)
	if !okHour || !okMinute || !okSecond {
		return false
	}
	rest := s[8:]
	if rest[0] == '.' {
		i := 1
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		if i == 1 || i == len(rest) {
			return false
		}
		rest = rest[i:]
	}
	offset, ok := zone(rest)
	if !ok || second < 60 {
		return ok
	}
	return ((hour*60+minute-offset)%1440+1440)%1440 == 23*60+59
}

// zone reads Z or +hh:mm and answers minutes east of UTC.
func zone(s string) (int, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	hour, okHour := two(s[1:], 23)
	minute, okMinute := two(s[4:], 59)
	offset := hour*60 + minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, okHour && okMinute
}

func two(s string, limit int) (int, bool) {
	if s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	n := int(s[0]-'0')*10 + int(s[1]-'0')
	return n, n <= limit
}
