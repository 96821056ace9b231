package waas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// maxFlow is the longest `flusso` in base64 (Flusso.flusso.maxLength).
const maxFlow = 10_000_000

// maxPage bounds the bodies of one answer before base64. One flow alone may be
// larger; INPS fetches the rest with its next request.
const maxPage = 16 << 20

// Outlet serves the e-service of every configured body to one system.
type Outlet struct {
	config   Config
	settings connectors.Settings
	claims   connectors.Claims
	rome     *time.Location
}

func open(c Config, s connectors.Settings, claims connectors.Claims) (connectors.Outlet, error) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, fmt.Errorf("time zone of the days in flow names: %w", err)
	}
	return &Outlet{config: c, settings: s, claims: claims, rome: rome}, nil
}

// Close has nothing to let go of.
func (*Outlet) Close(context.Context) error { return nil }

// Mounts is one e-service per body. The OpenAPI leaves /status open.
func (o *Outlet) Mounts() []connectors.Mount {
	mounts := make([]connectors.Mount, len(o.config.Bodies))
	for i, b := range o.config.Bodies {
		base := o.config.Base + "/" + strings.ToLower(b.Belfiore) + "/v1"
		service := &service{outlet: o, body: b}
		mux := http.NewServeMux()
		mux.HandleFunc(base+"/flussi", service.flows)
		mux.HandleFunc(base+"/esiti", service.outcomes)
		mux.HandleFunc(base+"/status", service.status)
		mux.HandleFunc("/", notFound)
		mounts[i] = connectors.Mount{Base: base, Handler: mux, Open: []string{base + "/status"}}
	}
	return mounts
}

// MaxBody is the largest XML that fits a `flusso` after base64.
func (*Outlet) MaxBody() int { return maxFlow / 4 * 3 }

// ErrName says that no name can be given.
var ErrName = errors.New("no id_flusso can be given")

// Series is EEEE.TIPO.AAAAMMGG: body, kind of flow and day in Rome on which the
// record was queued.
func (o *Outlet) Series(producer exchange.BodyID, t exchange.RecordType, queued time.Time) (string, error) {
	tipo := shortType(o.config.Types[string(t)])
	for _, b := range o.config.Bodies {
		if b.Body == string(producer) && tipo != "" {
			return b.Belfiore + "." + tipo + "." + queued.In(o.rome).Format("20060102"), nil
		}
	}
	return "", fmt.Errorf("body %s, record type %s: %w", producer, t, ErrName)
}

// Name adds the progressive of the day, seven digits.
func (*Outlet) Name(series string, number uint64) (string, error) {
	if number < 1 || number > 9_999_999 {
		return "", fmt.Errorf("series %s has 9999999 numbers a day: %w", series, ErrName)
	}
	return fmt.Sprintf("%s.%07d", series, number), nil
}
