package mapping

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"raccordo/hub/exchange"
)

// observation is one reading of a path by one edge.
type observation struct {
	edge        int
	reading     *Reading
	conditional bool
}

// Results that are no text of a target.
const (
	resultNone = "\x00none"
	resultFail = "\x00fail" // the record is refused: nobody sees anything
	resultMet  = "\x00met"
)

// result is what an observer learns from a reading of code; absent is no code.
func (o *observation) result(code string, absent bool, day string) string {
	r := o.reading
	switch r.Via {
	case ViaPresence, ViaEach:
		if absent {
			return resultNone
		}
		return resultMet
	case ViaCondition:
		if !absent && slices.Contains(r.Values, code) != r.Not {
			return resultMet
		}
		return resultNone
	}
	v := r.value
	fallback := resultNone
	if v != nil && v.fallback != nil {
		fallback, _ = scalarText(v.fallback)
	}
	switch {
	case absent:
		return fallback
	case v == nil:
		return code
	}
	code = v.letters(code)
	if v.table == nil {
		return code
	}
	if out, ok := v.table.lookup(code, day); ok {
		return out
	}
	switch {
	case v.unmapped == policyDefault:
		return fallback
	case v.unmapped == policyFail && !o.conditional:
		return resultFail
	}
	return resultNone
}

// atoms groups the codes that nothing observed tells apart on a day, and
// answers, for each, the categories all of its codes carry.
func atoms(obs []observation, d *Domain, day string) (of map[string]string, shared map[string]exchange.CategorySet) {
	of, shared = map[string]string{}, map[string]exchange.CategorySet{}
	add := func(code string, absent bool, set exchange.CategorySet) {
		var key strings.Builder
		for i := range obs {
			result := obs[i].result(code, absent, day)
			if result == resultFail {
				return
			}
			key.WriteString(strconv.Quote(result))
		}
		k := key.String()
		if !absent {
			of[code] = k
		}
		if before, ok := shared[k]; ok {
			set = set.Intersect(before)
		}
		shared[k] = set
	}
	for code, set := range d.Codes {
		add(code, false, set)
	}
	if d.Absent {
		add("", true, exchange.CategorySet{})
	}
	return of, shared
}

// revealed is everything the observations together reveal on some day.
func revealed(obs []observation, d *Domain) exchange.CategorySet {
	var out exchange.CategorySet
	if len(obs) == 0 {
		return out
	}
	for _, day := range days(obs) {
		_, shared := atoms(obs, d, day)
		for _, set := range shared {
			out = out.Union(set)
		}
	}
	return out
}

// days are the days on which one of the code lists changes, with a first one.
func days(obs []observation) []string {
	out := map[string]bool{"0001-01-01": true}
	for i := range obs {
		v := obs[i].reading.value
		if v == nil || v.table == nil || !v.table.dated {
			continue
		}
		for _, rows := range v.table.rows {
			for _, r := range rows {
				if r.from != "" {
					out[r.from] = true
				}
				if r.to != "" {
					out[r.to+"+"] = true // the moment after: sorts behind the day
				}
			}
		}
	}
	if len(out) > maxDays {
		return nil
	}
	return slices.Sorted(maps.Keys(out))
}

// maxDays bounds the days a reading is judged on. Lists that change more often
// count as if they told every code apart.
const maxDays = 400
