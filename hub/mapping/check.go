package mapping

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"raccordo/hub/exchange"
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

// checkCategories refuses a code list that names categories nobody knows: what
// is not understood cannot be protected.
func (c *compiler) checkCategories() {
	lists := map[string]*CodeList{}
	for _, p := range c.env.Source.Properties() {
		if list := c.env.CodeLists[p.CodeList]; list != nil {
			lists[list.id] = list
		}
	}
	for _, e := range c.m.lineage {
		for _, r := range e.Sources {
			if r.value != nil && r.value.table != nil {
				lists[r.CodeList] = r.value.table.list
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(lists)) {
		c.fs.list = append(c.fs.list, lists[id].CheckCategories(c.env.Categories)...)
	}
}

// CheckCategories reports rows that name a category which is not known.
func (c *CodeList) CheckCategories(known map[string]exchange.Category) []Fault {
	column := c.column(columnCategory)
	if column < 0 {
		return nil
	}
	fs := &faults{file: c.file}
	for i := range c.rows {
		for _, name := range strings.Fields(c.rows[i].cells[column]) {
			if _, ok := known[name]; !ok {
				fs.add(c.rows[i].line, "see the table of categories", "there is no category %q", clip(name))
			}
		}
	}
	return fs.list
}
