package api

import (
	"context"
	"encoding/json"
	"net/http"

	"raccordo/hub/exchange"
)

type catalogItemJSON struct {
	Type      exchange.RecordType `json:"record_type"`
	Version   string              `json:"version"`
	Format    exchange.FormatID   `json:"format"`
	Direction string              `json:"direction"`
	MediaType string              `json:"media_type"`
	Digest    exchange.Digest     `json:"digest"`
	Schema    json.RawMessage     `json:"schema,omitempty"`
}

func (a *API) readCatalog(ctx context.Context, c *call) (*answer, error) {
	items, err := a.o.Catalog.Catalog(ctx, c.caller)
	if err != nil {
		return nil, err
	}
	out := struct {
		Items []catalogItemJSON `json:"items"`
	}{make([]catalogItemJSON, len(items))}
	for i, item := range items {
		direction := "receive"
		if item.Push {
			direction = "push"
		}
		out.Items[i] = catalogItemJSON{item.Type, item.Version, item.Format, direction, item.MediaType, item.Digest, item.Schema}
	}
	ans, err := asJSON(http.StatusOK, out)
	if err != nil {
		return nil, err
	}
	ans.cache = cacheCatalog
	return ans, nil
}
