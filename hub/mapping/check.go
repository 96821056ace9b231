package mapping

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"raccordo/schemas"
)

func kindOf(v any) string {
	switch x := v.(type) {
	case bool:
		return "boolean"
	case json.Number:
		if strings.ContainsAny(string(x), ".eE") {
			return "number"
		}
		return "integer"
	}
	return "string"
}

func accepts(target, source string) bool {
	return target == source || (target == "number" && source == "integer")
}

const maxUnfit = 3 // values of one field that are named

// fits holds what a field can make, of a kind and, where known, as a closed
// set of texts, against its target property. Names in the network and codes
// are quoted; they are not values of a record.
func (c *compiler) fits(n node, kind string, texts []string, target schemas.Property) {
	if kind != "" && !accepts(target.Type, kind) {
		fix := "add as: " + target.Type
		if target.Type == "object" || target.Type == "array" {
			fix = "use fields, items or each"
		}
		n.fault(fix, "%s is %s and this makes %s", target.Path, target.Type, kind)
		return
	}
	var pattern *regexp.Regexp
	if target.Pattern != "" {
		pattern, _ = regexp.Compile(target.Pattern) // one RE2 refuses is the schema lint's business
	}
	unfit := 0
	for _, text := range texts {
		why := ""
		switch length := utf8.RuneCountInString(text); {
		case target.Enum != nil && !slices.Contains(target.Enum, text):
			why = "is not in its enum"
		case target.Type != "string":
		case length < target.MinLength:
			why = "is shorter than its minLength"
		case target.MaxLength > 0 && length > target.MaxLength:
			why = "is longer than its maxLength"
		case pattern != nil && !pattern.MatchString(text):
			why = "does not match its pattern"
		}
		if why == "" {
			continue
		}
		if unfit++; unfit > maxUnfit {
			n.fault("", "and more that do not fit %s", target.Path)
			return
		}
		n.fault("", "%q does not fit %s: it %s", clip(text), target.Path, why)
	}
}
