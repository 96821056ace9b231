package hub

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/mailbox"
	"raccordo/hub/access"
	"raccordo/hub/api"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/keys"
	"raccordo/hub/store"
)

// api puts the HTTP API together.
func (h *Hub) api() (http.Handler, error) {
	limits, err := access.NewLimits(access.LimitsOptions{Default: access.Rate{PerSecond: h.cfg.Limits.PerSecond, Burst: h.cfg.Limits.Burst},
		Of: h.rates(), Now: h.opt.Clock.Now})
	if err != nil {
		return nil, err
	}
	verifier, tokens, service, err := h.vouchers()
	if err != nil {
		return nil, err
	}
	mac := h.keys.MAC("cursor", []byte("api"))
	return api.New(api.Options{Intake: pushes{h}, Records: records{h}, Mailbox: mailboxes{h}, Consents: consents{h},
		Dossiers: dossiers{h}, Catalog: catalogue{h}, Ledger: proofs{h}, Readiness: h, Tokens: tokens, Verifier: verifier,
		Expect: access.Expect{EService: service}, Limits: limits, Metrics: h.metrics, Logger: h.log, Now: h.opt.Clock.Now,
		Random: h.opt.Rand, CursorKey: mac, BodyBytes: h.cfg.Intake.BodyBytes, Mounts: h.mounts(service)})
}

func (h *Hub) rates() map[string]access.Rate {
	out := map[string]access.Rate{}
	for _, s := range h.Network().Systems() {
		if s.RateLimit.PerSecond > 0 {
			out[string(s.ID)] = access.Rate{PerSecond: s.RateLimit.PerSecond, Burst: max(s.RateLimit.Burst, 1)}
		}
	}
	return out
}

// vouchers are the hub's own in a pilot, else those of the configured issuer:
// verified in the same way.
func (h *Hub) vouchers() (*access.Verifier, api.Tokens, access.EService, error) {
	v := h.cfg.Vouchers
	service := h.EService()
	o := access.VerifierOptions{Issuer: v.Issuer, Clients: h.access, Now: h.opt.Clock.Now}
	if v.Issuer != "" {
		b, err := os.ReadFile(v.JWKS)
		if err != nil {
			return nil, nil, service, fmt.Errorf("%w: vouchers.jwks: %w", ErrConfig, err)
		}
		keys, err := access.ParseJWKS(b)
		if err != nil {
			return nil, nil, service, fmt.Errorf("%w: vouchers.jwks: %w", ErrConfig, err)
		}
		if o.Keys, err = access.NewKeySet(keys...); err != nil {
			return nil, nil, service, fmt.Errorf("%w: vouchers.jwks: %w", ErrConfig, err)
		}
		verifier, err := access.NewVerifier(o)
		return verifier, nil, service, err
	}
	o.Issuer = h.URL()
	list, err := voucherKeyList(h)
	if err != nil {
		return nil, nil, service, err
	}
	if h.voucherSet, err = access.NewKeySet(list...); err != nil {
		return nil, nil, service, err
	}
	o.Keys = h.voucherSet
	verifier, err := access.NewVerifier(o)
	if err != nil {
		return nil, nil, service, err
	}
	issuer, err := access.NewIssuer(access.IssuerOptions{Issuer: h.URL(), TokenEndpoint: h.TokenEndpoint(), EService: service,
		Directory: h.access, Once: once{h.store}, Signer: voucherSigner{h}, Now: h.opt.Clock.Now, Random: h.opt.Rand})
	return verifier, issuer, service, err
}

// TokenEndpoint is the audience of client assertions in a pilot.
func (h *Hub) TokenEndpoint() string { return h.URL() + "/v1/token.oauth2" }

// EService is what vouchers must be for.
func (h *Hub) EService() access.EService {
	v := h.cfg.Vouchers
	s := access.EService{ID: v.EService, DescriptorID: v.Version, ProducerID: v.Producer, Audience: v.Audience}
	if s.ID == "" {
		s.ID, s.DescriptorID, s.ProducerID = access.PilotID("eservice", "raccordo"), access.PilotID("descriptor", "raccordo"), access.PilotID("producer", "raccordo")
	}
	if s.Audience == "" {
		s.Audience = h.URL()
	}
	return s
}

func voucherKeyList(h *Hub) ([]access.Key, error) {
	var set []access.Key
	for _, k := range h.keys.VoucherKeys() {
		public, ok := k.Public.(*rsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("voucher key %s is no RSA key", k.ID)
		}
		set = append(set, access.Key{KID: k.ID, Public: public})
	}
	return set, nil
}

type voucherSigner struct{ h *Hub }

func (v voucherSigner) VoucherSigner(context.Context) (crypto.Signer, string, error) {
	s := v.h.keys.VoucherSigner()
	kid, err := keys.Thumbprint(s.Public())
	return s, kid, err
}

// once remembers single-use ids in the store.
type once struct{ store store.Store }

func (o once) UseOnce(ctx context.Context, kind, id string, until time.Time) (fresh bool, err error) {
	err = o.store.Side(ctx, func(tx store.SideTx) error {
		fresh, err = tx.UseOnce(kind, exchange.DigestOf([]byte(id)), until.UnixMilli())
		return err
	})
	return fresh, err
}

// mounts are the foreign contracts of outlets, behind the API's guard.
func (h *Hub) mounts(service access.EService) []api.Mount {
	var out []api.Mount
	for id, o := range h.outlets {
		for _, m := range o.Mounts() {
			handler := m.Handler
			out = append(out, api.Mount{Prefix: m.Base + "/", Open: m.Open, Expect: access.Expect{EService: service},
				Serve: func(w http.ResponseWriter, r *http.Request, c api.Caller) {
					handler.ServeHTTP(w, r.WithContext(connectors.WithCaller(r.Context(), c.System)))
				}})
			_ = id
		}
	}
	return out
}

type pushes struct{ h *Hub }

func (p pushes) Push(ctx context.Context, r api.PushRequest) (*api.Acknowledgement, error) {
	if err := p.h.Ready(ctx); err != nil {
		return nil, err
	}
	ack, err := p.h.intake.Push(ctx, intake.Push{System: r.Caller.System, Type: r.Type, Key: r.Key, MediaType: r.MediaType, Body: r.Body})
	if err != nil {
		return nil, err
	}
	out := &api.Acknowledgement{Lines: make([]api.LineAcknowledgement, len(ack.Lines))}
	for i := range ack.Lines {
		l := &ack.Lines[i]
		x := api.LineAcknowledgement{Line: l.Line, Record: l.Record, NoRecipient: l.NoRecipient, Warnings: l.Warnings, Faults: l.Faults}
		if !l.Accepted() && len(x.Faults) == 0 {
			x.Faults = []exchange.Fault{{Rule: string(l.Reason)}}
		}
		for _, to := range l.Recipients {
			x.Recipients = append(x.Recipients, api.Recipient{Flow: to.Flow, Body: to.Body, Role: to.Role, State: api.SenderPending})
		}
		out.Lines[i] = x
	}
	return out, nil
}

type records struct{ h *Hub }

// RecordStatus shows a sender what it may know (protocol.md 7).
func (s records) RecordStatus(ctx context.Context, c api.Caller, t exchange.RecordType, id exchange.RecordID) (api.RecordStatus, error) {
	var row store.RecordRow
	var status []store.StatusRow
	err := s.h.store.View(ctx, func(tx store.ReadTx) (err error) {
		if status, err = tx.StatusOf(id); err != nil {
			return err
		}
		row, err = tx.Record(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		if fresh, ok := s.h.index.Record(id); ok {
			row, err = fresh, nil
		}
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && (row.Producer != c.System || row.Type != t) {
		return api.RecordStatus{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "")
	}
	if err != nil {
		return api.RecordStatus{}, err
	}
	out := api.RecordStatus{Record: id, Type: t, ReceivedAt: time.UnixMilli(row.ReceivedAt).UTC()}
	for _, f := range row.Flows {
		out.Recipients = append(out.Recipients, s.recipient(f, status))
	}
	return out, nil
}

func (s records) recipient(id exchange.FlowID, status []store.StatusRow) api.Recipient {
	out := api.Recipient{Flow: id, State: api.SenderPending}
	f := s.h.Network().Flow(id)
	if f != nil {
		out.Body, out.Role = f.Recipient.Body, f.Recipient.Role
	}
	n := exchange.FlowNumber(id)
	i := slices.IndexFunc(status, func(r store.StatusRow) bool { return r.Flow == n })
	if i < 0 {
		return out
	}
	row := status[i]
	out.State = senderState(row.State, row.Reason)
	if f != nil && f.Clause.Sees(row.Reason) {
		out.Reason = row.Reason
	}
	return out
}

// senderState is the most a sender may know: "no dossier" would itself be a
// disclosure.
func senderState(s exchange.State, why exchange.Reason) api.SenderState {
	switch s {
	case exchange.StateDelivered, exchange.StateUnchanged:
		return api.SenderDelivered
	case exchange.StateParked, exchange.StateDiscarded:
		return api.SenderFailed
	case exchange.StateWithheld, exchange.StateExpired, exchange.StateErased, exchange.StatePossiblyDelivered:
		return api.SenderNotReleased
	}
	return api.SenderPending
}

type mailboxes struct{ h *Hub }

func (m mailboxes) box(c api.Caller) (*mailbox.Mailbox, error) {
	box, ok := m.h.outlets[c.System].(*mailbox.Mailbox)
	if !ok {
		return nil, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the system has no mailbox")
	}
	return box, nil
}

func (m mailboxes) Fetch(ctx context.Context, c api.Caller, limit int) (api.MailboxPage, error) {
	box, err := m.box(c)
	if err != nil {
		return api.MailboxPage{}, err
	}
	got, err := box.Fetch(ctx, limit)
	if err != nil {
		return api.MailboxPage{}, err
	}
	page := api.MailboxPage{More: got.More}
	for _, x := range got.Items {
		page.Items = append(page.Items, api.MailboxItem{Disclosure: x.Disclosure, Record: x.Record, Type: x.Type, Flow: x.Flow,
			Sequence: x.Sequence, MediaType: x.MediaType, Content: x.Body, LeaseUntil: x.LeasedUntil})
	}
	return page, nil
}

func (m mailboxes) Acknowledge(ctx context.Context, c api.Caller, acks []api.ItemAcknowledgement) ([]api.ItemResult, error) {
	box, err := m.box(c)
	if err != nil {
		return nil, err
	}
	list := make([]mailbox.Acknowledgement, len(acks))
	for i, a := range acks {
		list[i] = mailbox.Acknowledgement{Disclosure: a.Disclosure.String(), Result: "accepted"}
		if a.Outcome == api.ItemRefused {
			list[i].Result, list[i].Reason = "refused", refusalReason(a.Refusal)
		}
	}
	got, err := box.Acknowledge(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]api.ItemResult, len(got))
	for i, r := range got {
		out[i] = map[connectors.AckResult]api.ItemResult{connectors.AckSettled: api.ItemSettled,
			connectors.AckRepeated: api.ItemAlready, connectors.AckUnknown: api.ItemNotFound}[r]
	}
	return out, nil
}

func refusalReason(r string) string {
	switch r {
	case api.RefusalInvalid:
		return string(exchange.ReasonRecipientInvalid)
	case api.RefusalUnknownPerson:
		return string(exchange.ReasonRecipientNoData)
	}
	return string(exchange.ReasonRefused)
}

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
		return cmpText(string(a.Type)+string(a.Format)+strconv.FormatBool(a.Push), string(b.Type)+string(b.Format)+strconv.FormatBool(b.Push))
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

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

type proofs struct{ h *Hub }

func (p proofs) Checkpoint(ctx context.Context) ([]byte, error) { return p.h.reader.Checkpoint(ctx) }

func (p proofs) Tile(ctx context.Context, path string) ([]byte, error) {
	return p.h.reader.Tile(ctx, path)
}

// Proof proves an entry to anyone, a row only to whom it concerns.
func (p proofs) Proof(ctx context.Context, c api.Caller, r api.ProofRequest) (api.Proof, error) {
	if r.Row != nil {
		row, err := p.h.reader.Row(ctx, r.Entry, *r.Row)
		if err != nil {
			return api.Proof{}, err
		}
		if !p.concerns(c, row) {
			return api.Proof{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "")
		}
	}
	got, err := p.h.reader.Prove(ctx, r.Entry, r.TreeSize, r.Row)
	if err != nil {
		return api.Proof{}, err
	}
	out := api.Proof{Entry: got.Seq, TreeSize: got.TreeSize, Header: got.Leaf, Hashes: hashes(got.Hashes), Checkpoint: string(got.Checkpoint)}
	if got.Row != nil {
		out.Row = &api.RowProof{Index: got.Row.Index, Row: got.Row.Row, Hashes: hashes(got.Row.Hashes)}
	}
	return out, nil
}

// concerns: a row is shown to its recipient, once something may have been
// disclosed to it. A sender would learn from it why its record was not
// released, and a recipient that there was one (protocol.md 7).
func (p proofs) concerns(c api.Caller, row exchange.Row) bool {
	switch row.State {
	case exchange.StateClaimed, exchange.StateDelivered, exchange.StatePossiblyDelivered:
	default:
		return false
	}
	f := p.h.Network().FlowByNumber(row.Flow)
	return f != nil && f.Recipient.System == c.System
}

func hashes(in []exchange.Digest) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i][:]
	}
	return out
}
