package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// readStatus answers as ModI has it: a problem document whatever the state.
func (a *API) readStatus(ctx context.Context, _ *call) (*answer, error) {
	if err := a.o.Readiness.Ready(ctx); err != nil {
		return nil, err
	}
	b, err := json.Marshal(problem{Type: problemType + "ready", Title: http.StatusText(http.StatusOK), Status: http.StatusOK, Detail: "the hub serves"})
	if err != nil {
		return nil, fmt.Errorf("write status: %w", err)
	}
	return &answer{status: http.StatusOK, media: mediaProblem, cache: noStore, body: b}, nil
}
