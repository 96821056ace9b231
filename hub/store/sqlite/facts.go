package sqlite

import (
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func (r *reader) Head() (store.Head, error) {
	var h store.Head
	err := r.one("SELECT hub, size, time, network, stopped, sum FROM head", func(v row) error {
		h = store.Head{Hub: id16[exchange.HubID](v, 0), Size: uint64(v.int(1)), Time: v.int(2), Network: digest(v, 3), Stopped: v.int(4) != 0}
		return check(v)
	})
	return h, err
}

func putHead(c *conn, h store.Head) error {
	args := summed(h.Hub[:], int64(h.Size), h.Time, h.Network[:], bit(h.Stopped))
	_, err := c.exec("INSERT INTO head (one, hub, size, time, network, stopped, sum) VALUES (1,?,?,?,?,?,?)"+
		" ON CONFLICT DO UPDATE SET hub=excluded.hub, size=excluded.size, time=excluded.time, network=excluded.network,"+
		" stopped=excluded.stopped, sum=excluded.sum", args...)
	return err
}

// Links walks the links in both directions from all subjects at once.
func (r *reader) Links(subjects []exchange.SubjectID) ([]store.LinkRow, error) {
	var out []store.LinkRow
	some := false
	err := r.query("SELECT 1 FROM links LIMIT 1", func(row) error { some = true; return nil })
	if err != nil || !some || len(subjects) == 0 {
		return nil, err
	}
	const query = packed16 + `, c(s) AS (
		SELECT ` + cut16 + ` FROM p
		UNION SELECT l.b FROM c CROSS JOIN links l ON l.a = c.s
		UNION SELECT l.a FROM c CROSS JOIN links l ON l.b = c.s)
		SELECT l.a, l.b, l.seq, l.sum FROM c CROSS JOIN links l ON l.a = c.s ORDER BY l.a, l.b`
	err = r.query(query, func(v row) error {
		out = append(out, store.LinkRow{A: id16[exchange.SubjectID](v, 0), B: id16[exchange.SubjectID](v, 1), Seq: uint64(v.int(2))})
		return check(v)
	}, pack16(subjects))
	return out, err
}

func (t ledgerTx) PutLinks(rows []store.LinkRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	in := t.c.inserter("INSERT INTO links (a, b, seq, sum) VALUES ", 4, " ON CONFLICT (a, b) DO UPDATE SET seq=excluded.seq, sum=excluded.sum")
	for i := range rows {
		l := &rows[i]
		if err := in.add(summed(l.A[:], l.B[:], int64(l.Seq))...); err != nil {
			return fmt.Errorf("put links: %w", err)
		}
	}
	return in.flush()
}

func (t ledgerTx) DeleteLinks(rows []store.LinkRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	for i := range rows {
		if _, err := t.c.exec("DELETE FROM links WHERE a=? AND b=?", rows[i].A[:], rows[i].B[:]); err != nil {
			return fmt.Errorf("delete links: %w", err)
		}
	}
	return nil
}

const consentColumns = "t.consent, t.subject, t.purpose, t.body, t.role, t.status, t.permits, t.expires_at, t.seq, t.event, t.sum"

func readConsent(v row) (store.ConsentRow, error) {
	c := store.ConsentRow{
		Consent: id16[exchange.ConsentID](v, 0), Subject: id16[exchange.SubjectID](v, 1), Purpose: exchange.PurposeID(v.text(2)),
		Body: exchange.BodyID(v.text(3)), Role: exchange.Role(v.text(4)), Status: v.text(5), Permits: v.int(6) != 0,
		ExpiresAt: v.int(7), Seq: uint64(v.int(8)), Event: v.blob(9),
	}
	return c, check(v)
}

// Consents are those of all subjects, by subject, oldest entry first.
func (r *reader) Consents(subjects []exchange.SubjectID) ([]store.ConsentRow, error) {
	return collect(r, packed16+"SELECT "+consentColumns+" FROM p CROSS JOIN consents t ON t.subject = "+cut16+
		" ORDER BY t.subject, t.seq", readConsent, pack16(subjects))
}

func (r *reader) ConsentByID(id exchange.ConsentID) (store.ConsentRow, error) {
	return single(r, "SELECT "+consentColumns+" FROM consents t WHERE t.consent=?", readConsent, id[:])
}

// ExpiringConsents counts consents that permit; one without expiry is among
// all.
func (v *view) ExpiringConsents(from, to int64) (expiring, all int, err error) {
	count := func(out *int) func(row) error { return func(r row) error { *out = int(r.int(0)); return nil } }
	err = v.one("SELECT count(*) FROM consents WHERE permits = 1 AND expires_at > max(?1, 0) AND expires_at <= ?2", count(&expiring), from, to)
	if err == nil {
		err = v.one("SELECT (SELECT count(*) FROM consents WHERE permits = 1 AND expires_at = 0) +"+
			" (SELECT count(*) FROM consents WHERE permits = 1 AND expires_at > max(?1, 0))", count(&all), from)
	}
	return expiring, all, err
}

func (t ledgerTx) PutConsents(rows []store.ConsentRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	in := t.c.inserter("INSERT INTO consents (consent, subject, purpose, body, role, status, permits, expires_at, seq, event, sum) VALUES ", 11,
		" ON CONFLICT (consent) DO UPDATE SET subject=excluded.subject, purpose=excluded.purpose, body=excluded.body, role=excluded.role,"+
			" status=excluded.status, permits=excluded.permits, expires_at=excluded.expires_at, seq=excluded.seq, event=excluded.event, sum=excluded.sum")
	for i := range rows {
		c := &rows[i]
		err := in.add(summed(c.Consent[:], c.Subject[:], string(c.Purpose), string(c.Body), string(c.Role), c.Status, bit(c.Permits),
			c.ExpiresAt, int64(c.Seq), full(c.Event))...)
		if err != nil {
			return fmt.Errorf("put consents: %w", err)
		}
	}
	return in.flush()
}

const dossierColumns = "t.dossier, t.subject, t.body, t.role, t.capacity, t.seq, t.until, t.closed, t.sum"

func readDossier(v row) (store.DossierRow, error) {
	d := store.DossierRow{
		Dossier: id16[exchange.DossierID](v, 0), Subject: id16[exchange.SubjectID](v, 1), Body: exchange.BodyID(v.text(2)),
		Role: exchange.Role(v.text(3)), Capacity: v.text(4), Seq: uint64(v.int(5)), Until: v.int(6), Closed: v.int(7) != 0,
	}
	return d, check(v)
}

// Dossiers are those of all subjects, by subject, oldest entry first.
func (r *reader) Dossiers(subjects []exchange.SubjectID) ([]store.DossierRow, error) {
	return collect(r, packed16+"SELECT "+dossierColumns+" FROM p CROSS JOIN dossiers t ON t.subject = "+cut16+
		" ORDER BY t.subject, t.seq", readDossier, pack16(subjects))
}

func (r *reader) DossierByID(id exchange.DossierID) (store.DossierRow, error) {
	return single(r, "SELECT "+dossierColumns+" FROM dossiers t WHERE t.dossier=?", readDossier, id[:])
}

func (r *reader) DossierList(subject exchange.SubjectID) ([]store.DossierRow, error) {
	return collect(r, "SELECT "+dossierColumns+" FROM dossiers t WHERE t.subject=? ORDER BY t.seq", readDossier, subject[:])
}

func (t ledgerTx) PutDossiers(rows []store.DossierRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	in := t.c.inserter("INSERT INTO dossiers (dossier, subject, body, role, capacity, seq, until, closed, sum) VALUES ", 9,
		" ON CONFLICT (dossier) DO UPDATE SET subject=excluded.subject, body=excluded.body, role=excluded.role, capacity=excluded.capacity,"+
			" seq=excluded.seq, until=excluded.until, closed=excluded.closed, sum=excluded.sum")
	for i := range rows {
		d := &rows[i]
		err := in.add(summed(d.Dossier[:], d.Subject[:], string(d.Body), string(d.Role), d.Capacity, int64(d.Seq), d.Until, bit(d.Closed))...)
		if err != nil {
			return fmt.Errorf("put dossiers: %w", err)
		}
	}
	return in.flush()
}

// collect reads every row of a query.
func collect[T any](r *reader, query string, read func(row) (T, error), args ...any) ([]T, error) {
	var out []T
	err := r.query(query, func(v row) error {
		x, err := read(v)
		out = append(out, x)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// single reads one row, [store.ErrNotFound] if there is none.
func single[T any](r *reader, query string, read func(row) (T, error), args ...any) (T, error) {
	var out T
	err := r.one(query, func(v row) (err error) { out, err = read(v); return err }, args...)
	return out, err
}
