package hub

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"raccordo/hub/api"
	"raccordo/hub/exchange"
)

type catalogue struct{ h *Hub }

// Catalog lists what a caller pushes and receives, with the schemas.
func (c catalogue) Catalog(_ context.Context, caller api.Caller) ([]api.CatalogItem, error) {
	n := c.h.Network()
	s := n.System(caller.System)
	if s == nil {
		return nil, nil
	}
	var out []api.CatalogItem
	for typ, p := range s.Produces {
		out = append(out, c.item(typ, p.Format, p.MediaType, p.Schema.Source(), true))
	}
	for _, f := range n.Flows() {
		if f.Recipient.System == s.ID {
			item := c.item(f.RecordType, f.Format, f.MediaType, f.TargetSchema.Source(), false)
			if !slices.ContainsFunc(out, func(x api.CatalogItem) bool { return !x.Push && x.Type == item.Type && x.Format == item.Format }) {
				out = append(out, item)
			}
		}
	}
	slices.SortFunc(out, func(a, b api.CatalogItem) int {
		return strings.Compare(string(a.Type)+string(a.Format)+strconv.FormatBool(a.Push), string(b.Type)+string(b.Format)+strconv.FormatBool(b.Push))
	})
	return out, nil
}

func (c catalogue) item(t exchange.RecordType, f exchange.FormatID, media string, schema []byte, push bool) api.CatalogItem {
	item := api.CatalogItem{Type: t, Version: c.h.catalog.Latest(t).Version, Format: f, Push: push, MediaType: media,
		Digest: exchange.DigestOf(schema)}
	if media == "application/json" {
		item.Schema = schema
	}
	return item
}
