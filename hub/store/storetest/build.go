package storetest

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

type difference struct{ got, want any }

func (d *difference) Error() string { return fmt.Sprintf("got  %+v\nwant %+v", d.got, d.want) }

// id is the n-th made-up identifier of a kind; kinds keep them apart.
func id[T ~[16]byte](kind byte, n int) T {
	var b [16]byte
	b[0] = kind
	binary.BigEndian.PutUint64(b[8:], uint64(n))
	d := exchange.DigestOf(b[:])
	copy(b[:], d[:])
	return T(b)
}

func subject(n int) exchange.SubjectID   { return id[exchange.SubjectID]('s', n) }
func record(n int) exchange.RecordID     { return id[exchange.RecordID]('r', n) }
func frame(n int) exchange.FrameID       { return id[exchange.FrameID]('f', n) }
func entryID(n int) exchange.EntryID     { return id[exchange.EntryID]('e', n) }
func consentID(n int) exchange.ConsentID { return id[exchange.ConsentID]('c', n) }
func dossierID(n int) exchange.DossierID { return id[exchange.DossierID]('d', n) }
func digest(n int) exchange.Digest {
	return exchange.DigestOf(binary.BigEndian.AppendUint64(nil, uint64(n)))
}
func flow(n int) exchange.FlowID         { return exchange.FlowID(fmt.Sprintf("test_flow_%d", n)) }
func system(n int) exchange.SystemID     { return exchange.SystemID(fmt.Sprintf("test_system_%d", n)) }
func lane(n int) store.LaneKey           { return store.LaneKey{Class: exchange.ClassPrompt, Lane: uint16(n)} }
func position(o int64) exchange.Position { return exchange.Position{Offset: o} }
func cursorKey(sys, l int) store.CursorKey {
	return store.CursorKey{System: system(sys), LaneKey: lane(l)}
}
func cursorAt(o int64, f int) store.Cursor {
	return store.Cursor{Position: position(o), Frame: frame(f)}
}
func subjects(ns ...int) []exchange.SubjectID {
	out := make([]exchange.SubjectID, len(ns))
	for i, n := range ns {
		out[i] = subject(n)
	}
	return out
}

// Append adds entries in their true form (leaf, rows, tree hashes) to the
// ledger of tx, giving them sequence and time, and returns the first sequence.
// Engines' own tests use it too.
func Append(tx store.LedgerTx, entries ...exchange.Entry) (uint64, error) {
	head, err := tx.Head()
	if err != nil {
		return 0, err
	}
	first := head.Size
	fresh := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if h, ok := fresh[x]; ok {
				out[i] = h
				continue
			}
			h, err := tx.Hashes([]int64{x})
			if err != nil {
				return nil, err
			}
			out[i] = tlog.Hash(h[0])
		}
		return out, nil
	})
	appended := make([]store.Appended, len(entries))
	for i, e := range entries {
		e.Seq = head.Size
		head.Time++
		e.Time, e.Network = head.Time, head.Network
		a := store.Appended{Entry: e, Leaf: e.AppendLeaf(nil), Rows: exchange.AppendRows(nil, e.Rows)}
		hashes, err := tlog.StoredHashes(int64(e.Seq), a.Leaf, reader)
		if err != nil {
			return 0, err
		}
		at := tlog.StoredHashCount(int64(e.Seq))
		for j, h := range hashes {
			fresh[at+int64(j)] = h
			a.Hashes = append(a.Hashes, h)
		}
		appended[i] = a
		head.Size++
	}
	return first, tx.Append(appended, head)
}

// ClaimEntry is an entry of n rows as a claim writes it.
func ClaimEntry(n, rows int) exchange.Entry {
	e := exchange.Entry{ID: entryID(n), Kind: exchange.KindClaim, System: system(1), Rows: make([]exchange.Row, rows),
		Lanes: []exchange.LaneRange{{Class: exchange.ClassPrompt, Lane: 1, From: exchange.Start(), To: position(int64(n))}}}
	for i := range e.Rows {
		e.Rows[i] = exchange.Row{Record: record(n*1000 + i), Subject: subject(i), Flow: 7, Clause: 9, State: exchange.StateClaimed,
			Part: exchange.PartPrincipal, Reason: exchange.ReasonPermitted, Categories: exchange.NewCategorySet(3)}
	}
	return e
}

// ClaimOf is the open claim that such an entry leaves.
func ClaimOf(seq uint64, e exchange.Entry) store.Claim {
	c := store.Claim{Seq: seq, System: e.System, Lanes: e.Lanes, At: int64(seq), Rows: make([]store.ClaimRow, len(e.Rows))}
	for i := range e.Rows {
		c.Rows[i] = store.ClaimRow{Record: e.Rows[i].Record, Flow: flow(1), Subjects: []exchange.SubjectID{e.Rows[i].Subject},
			Basis: []uint64{uint64(i)}, Sequence: uint64(i), Attempt: 1, Mark: exchange.MarkPossibly}
	}
	return c
}

func consentRow(n, subj int, seq uint64) store.ConsentRow {
	return store.ConsentRow{Consent: consentID(n), Subject: subject(subj), Purpose: "test_purpose", Body: "test_body", Role: exchange.RoleHealthService,
		Status: "given", Permits: true, ExpiresAt: 1000, Seq: seq, Event: []byte{1, 2, byte(n)}}
}

func waitingRow(n uint64, fl, principal int) store.WaitingRow {
	k := int(n)
	return store.WaitingRow{ID: n, Flow: flow(fl), Principal: subject(principal), Record: record(k), System: system(1), Producer: system(2), Body: "test_body",
		LaneKey: lane(3), Disclosure: exchange.NewDisclosureID(record(k), flow(fl)), Event: store.EventReady, Subject: subject(principal),
		Reason: exchange.ReasonConsentMissing, State: store.WaitingIdle, Mark: exchange.MarkNo, Attempt: 2, Tries: 3, Sequence: n, ReceivedAt: 11, Deadline: 1 << 40,
		NotBefore: 12, Lease: 13, Fetchable: 14, Claim: 15, Header: []byte{1, byte(n)}, Sealed: []byte{2, byte(n)}}
}

func waitingIDs(rows []store.WaitingRow) []uint64 {
	out := []uint64{}
	for i := range rows {
		out = append(out, rows[i].ID)
	}
	return out
}
