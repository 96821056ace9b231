package mapping

import (
	"slices"
	"strings"
	"time"

	"raccordo/schemas"
)

// conversions reads what the value passes through, and holds the result
// against the target.
func (c *compiler) conversions(n node, f map[string]node, v *value, kind string, domain []string, target schemas.Property) {
	if v.source == sourceChoose {
		c.fallback(f, v, target)
		return
	}
	v.trim, v.upper, v.lower = f["trim"].truth(), f["upper"].truth(), f["lower"].truth()
	if v.upper && v.lower {
		f["lower"].fault("", "upper and lower at once")
	}
	if f["date"].given() {
		v.date = c.date(f["date"])
		domain = nil
	}
	if f["decimal"].given() {
		v.decimal = c.decimal(f["decimal"])
		domain = nil
	}
	c.policy(f, v)
	c.fallback(f, v, target)
	if f["cut"].given() {
		v.cut = f["cut"].number(1, 100_000)
	}
	if f["as"].given() {
		if v.as = f["as"].text(); !slices.Contains([]string{"string", "integer", "number", "boolean"}, v.as) {
			f["as"].fault("string, integer, number or boolean", "no such type")
			return
		}
	}
	for i, text := range domain {
		if i == 0 {
			domain = slices.Clone(domain)
		}
		domain[i] = v.letters(text)
	}
	if f["codelist"].given() {
		domain = c.codelist(f["codelist"], v, domain, target)
	}
	if v.converts() && (kind == "array" || kind == "object") {
		n.fault("use each", "a list cannot be converted as a whole")
		return
	}
	if v.converts() {
		kind = "string"
	}
	if v.as != "" {
		kind = v.as
	}
	c.fits(n, kind, domain, target)
}

func (v *value) letters(s string) string {
	if v.trim {
		s = strings.TrimSpace(s)
	}
	if v.upper {
		s = strings.ToUpper(s)
	}
	if v.lower {
		s = strings.ToLower(s)
	}
	return s
}

func (c *compiler) policy(f map[string]node, v *value) {
	if !f["unmapped"].given() {
		return
	}
	switch f["unmapped"].text() {
	case "fail":
	case "lose":
		v.unmapped = policyLose
	case "default":
		v.unmapped = policyDefault
		if !f["default"].given() {
			f["unmapped"].fault("add default", "there is no default")
		}
	default:
		f["unmapped"].fault("fail, lose or default", "no such way")
	}
}

func (c *compiler) fallback(f map[string]node, v *value, target schemas.Property) {
	if !f["default"].given() {
		return
	}
	k, ok := f["default"].scalar()
	if !ok {
		return
	}
	if v.source == sourceConst {
		f["default"].fault("take it out", "a constant needs no default")
		return
	}
	v.fallback = k
	text, _ := scalarText(k)
	c.fits(f["default"], kindOf(k), []string{text}, target)
}

func (c *compiler) date(n node) *dateForm {
	f := n.object("in", "out")
	d := &dateForm{}
	if !f["in"].given() || !f["out"].given() {
		n.fault(`for example {in: "02/01/2006", out: date}`, "date needs in and out")
		return d
	}
	ins := []node{f["in"]}
	if f["in"].Kind == kindSequence {
		ins = f["in"].list()
	}
	for _, in := range ins {
		d.in = append(d.in, c.layout(in))
	}
	d.out = c.layout(f["out"])
	d.at = strings.Contains(d.out, "15") || strings.Contains(d.out, "03")
	return d
}

// layout reads a layout of package time: the moment Mon Jan 2 15:04:05 2006
// written in the wanted form.
func (c *compiler) layout(n node) string {
	s := layoutOf(n.text())
	sample := time.Date(2006, 11, 22, 15, 4, 5, 0, time.UTC)
	if s != "" && (sample.Format(s) == s || !strings.Contains(s, "06")) {
		n.fault(`date, date-time, month, year, or a layout such as "02/01/2006"`, "%q is no layout of a day", clip(s))
	}
	return s
}

func (c *compiler) decimal(n node) *decimalForm {
	f := n.object("in", "digits")
	d := &decimalForm{digits: f["digits"].number(0, 10)}
	switch f["in"].text() {
	case "italian":
		d.italian = true
	case "plain":
	default:
		n.fault("in: italian or plain", "decimal does not say how the number is written")
	}
	return d
}

// codelist reads the list and its direction, and holds what the source can be
// against it. It answers what can come out.
func (c *compiler) codelist(n node, v *value, domain []string, target schemas.Property) []string {
	_, column := parent(target.Path)
	if column == "*" {
		above, _ := parent(target.Path)
		_, column = parent(above)
	}
	id, from, to := "", columnCode, column
	if n.Kind == kindMapping {
		f := n.object("list", "from", "to")
		id = f["list"].text()
		if f["from"].given() {
			from = f["from"].text()
		}
		if f["to"].given() {
			to = f["to"].text()
		}
	} else {
		id = n.text()
	}
	list, ok := c.env.CodeLists[id]
	if !ok {
		n.fault("add codelists/"+clip(id)+".csv", "there is no code list %q", clip(id))
		return nil
	}
	for _, name := range []string{from, to} {
		if list.column(name) < 0 {
			n.fault("say it with {list, from, to}; there are: "+strings.Join(list.columns, ", "), "the code list %s has no column %q", id, clip(name))
			return nil
		}
	}
	v.table = list.table(from, to, c.fs)
	c.m.dated = c.m.dated || v.table.dated
	var missing, out []string
	if domain == nil {
		for _, rows := range v.table.rows {
			for _, r := range rows {
				out = append(out, r.value)
			}
		}
	}
	for _, code := range domain {
		rows, ok := v.table.rows[code]
		if !ok {
			missing = append(missing, code)
		}
		for _, r := range rows {
			out = append(out, r.value)
		}
	}
	if len(missing) > 0 && v.unmapped == policyFail {
		n.fault("add the rows, or say unmapped: lose", "the code list %s has no %s for %s", id, to, names(missing))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func names(list []string) string {
	shown := list[:min(len(list), 8)]
	s := clip(strings.Join(shown, ", "))
	if len(list) > len(shown) {
		s += ", ..."
	}
	return s
}
