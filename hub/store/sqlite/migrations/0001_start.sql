-- Every table is STRICT. "sum" is the checksum of the columns before it, in
-- the order in which the engine writes and reads them.

-- the ledger
CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  hub BLOB NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL, network BLOB NOT NULL, stopped INTEGER NOT NULL,
  sum INTEGER NOT NULL) STRICT;
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE, leaf BLOB NOT NULL, rows BLOB NOT NULL, fact BLOB NOT NULL,
  sum INTEGER NOT NULL) STRICT;
-- adoptions are few and asked for at every start; byte 29 of a leaf is its kind
CREATE INDEX entries_adoption ON entries (seq) WHERE substr(leaf, 29, 1) = x'02';
CREATE TABLE hashes (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;

-- what must be exact
CREATE TABLE consents (
  consent BLOB NOT NULL UNIQUE, subject BLOB NOT NULL, purpose TEXT NOT NULL, body TEXT NOT NULL, role TEXT NOT NULL,
  status TEXT NOT NULL, permits INTEGER NOT NULL, expires_at INTEGER NOT NULL, seq INTEGER NOT NULL, event BLOB NOT NULL,
  sum INTEGER NOT NULL) STRICT;
CREATE INDEX consents_subject ON consents (subject);
CREATE INDEX consents_expiry ON consents (expires_at) WHERE permits = 1;
CREATE TABLE links (
  a BLOB NOT NULL, b BLOB NOT NULL, seq INTEGER NOT NULL, sum INTEGER NOT NULL,
  PRIMARY KEY (a, b), CHECK (a < b)) STRICT, WITHOUT ROWID;
CREATE INDEX links_b ON links (b, a);
CREATE TABLE dossiers (
  dossier BLOB NOT NULL UNIQUE, subject BLOB NOT NULL, body TEXT NOT NULL, role TEXT NOT NULL, capacity TEXT NOT NULL,
  seq INTEGER NOT NULL, until INTEGER NOT NULL, closed INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE INDEX dossiers_subject ON dossiers (subject);
CREATE TABLE cursors (
  system TEXT NOT NULL, class INTEGER NOT NULL, lane INTEGER NOT NULL, offset INTEGER NOT NULL, passed INTEGER NOT NULL,
  frame BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (system, class, lane)) STRICT, WITHOUT ROWID;
CREATE TABLE lanes (
  class INTEGER NOT NULL, lane INTEGER NOT NULL, epoch INTEGER NOT NULL, sum INTEGER NOT NULL,
  PRIMARY KEY (class, lane)) STRICT, WITHOUT ROWID;
CREATE TABLE claims (
  seq INTEGER PRIMARY KEY, system TEXT NOT NULL, fetch INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
  sum INTEGER NOT NULL) STRICT;

-- "head" is 1 for rows of a queue (flow, principal) whose older rows all wait
-- for a fetch; it is derived and not part of the checksum. The payloads lie apart, so that what queries
-- and state changes touch stays small.
CREATE TABLE waiting (
  id INTEGER PRIMARY KEY,
  flow TEXT NOT NULL, principal BLOB NOT NULL, record BLOB NOT NULL, system TEXT NOT NULL, producer TEXT NOT NULL,
  body TEXT NOT NULL, class INTEGER NOT NULL, lane INTEGER NOT NULL, disclosure BLOB NOT NULL, name TEXT NOT NULL, event TEXT NOT NULL, subject BLOB NOT NULL, reason TEXT NOT NULL,
  state TEXT NOT NULL, claim INTEGER NOT NULL, mark INTEGER NOT NULL, attempt INTEGER NOT NULL, tries INTEGER NOT NULL, sequence INTEGER NOT NULL,
  received_at INTEGER NOT NULL, deadline INTEGER NOT NULL, not_before INTEGER NOT NULL, lease INTEGER NOT NULL,
  fetchable INTEGER NOT NULL,
  sum INTEGER NOT NULL, head INTEGER NOT NULL) STRICT;
CREATE TABLE waiting_bodies (id INTEGER PRIMARY KEY, header BLOB NOT NULL, sealed BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE waiting_counts (system TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_queue ON waiting (principal, flow, id, event);
CREATE INDEX waiting_disclosure ON waiting (disclosure);
CREATE UNIQUE INDEX waiting_name ON waiting (system, name) WHERE name <> '';
CREATE INDEX waiting_ready ON waiting (system, id) WHERE head = 1 AND event = 'ready';
CREATE INDEX waiting_retry ON waiting (system, not_before) WHERE head = 1 AND event = 'retry';
CREATE INDEX waiting_fetch ON waiting (system, fetchable, state, lease) WHERE head = 1 AND event = 'fetch';
CREATE INDEX waiting_fetchable ON waiting (system, body, fetchable) WHERE head = 1 AND event = 'fetch';
CREATE INDEX waiting_wake ON waiting (subject, event) WHERE event IN ('consent', 'dossier');
CREATE INDEX waiting_held ON waiting (id) WHERE head = 1 AND event = 'consent';
CREATE INDEX waiting_deadline ON waiting (deadline, id) WHERE deadline > 0;
CREATE INDEX waiting_received ON waiting (received_at);
CREATE TABLE parked (
  id INTEGER PRIMARY KEY,
  flow TEXT NOT NULL, principal BLOB NOT NULL, record BLOB NOT NULL, system TEXT NOT NULL, producer TEXT NOT NULL,
  class INTEGER NOT NULL, lane INTEGER NOT NULL, reason TEXT NOT NULL, faults TEXT NOT NULL, mark INTEGER NOT NULL,
  attempt INTEGER NOT NULL, sequence INTEGER NOT NULL, received_at INTEGER NOT NULL, parked_at INTEGER NOT NULL,
  header BLOB NOT NULL, sealed BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE INDEX parked_received ON parked (received_at);
CREATE TABLE counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- beside the ledger
CREATE TABLE directory (
  digest BLOB PRIMARY KEY, key_version INTEGER NOT NULL, subject BLOB NOT NULL, system TEXT NOT NULL,
  sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
  mac BLOB NOT NULL, system TEXT NOT NULL, body_digest BLOB NOT NULL, frame BLOB NOT NULL, class INTEGER NOT NULL,
  offset INTEGER NOT NULL, records INTEGER NOT NULL, received_at INTEGER NOT NULL, sum INTEGER NOT NULL,
  UNIQUE (mac, system)) STRICT;
CREATE INDEX keys_received ON keys (received_at);
CREATE INDEX keys_offset ON keys (class, offset, received_at);
CREATE TABLE key_counts (system TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- A record gets a number when it is first heard of, and its states are keyed
-- by that: numbers of records accepted together are neighbours, record ids are
-- scattered, and each scattered write costs a page of the log.
CREATE TABLE records (
  n INTEGER PRIMARY KEY, record BLOB NOT NULL UNIQUE,
  producer TEXT NOT NULL, type TEXT NOT NULL, received_at INTEGER NOT NULL, flows TEXT NOT NULL,
  sum INTEGER NOT NULL) STRICT;
CREATE TABLE status (
  n INTEGER NOT NULL, flow INTEGER NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL, mark INTEGER NOT NULL,
  seq INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (n, flow)) STRICT, WITHOUT ROWID;
CREATE TABLE counts (
  flow INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (flow, state)) STRICT, WITHOUT ROWID;

CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE used (
  id BLOB NOT NULL, kind TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (id, kind)) STRICT, WITHOUT ROWID;
CREATE INDEX used_until ON used (until);
CREATE TABLE client_keys (
  client_id TEXT NOT NULL, key_id TEXT NOT NULL, system TEXT NOT NULL, jwk BLOB NOT NULL, added_at INTEGER NOT NULL,
  sum INTEGER NOT NULL, PRIMARY KEY (client_id, key_id)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
  size INTEGER PRIMARY KEY, root BLOB NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE conflicts (
  a BLOB NOT NULL, b BLOB NOT NULL, record BLOB NOT NULL, seen_at INTEGER NOT NULL, sum INTEGER NOT NULL,
  PRIMARY KEY (a, b), CHECK (a < b)) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (consent BLOB PRIMARY KEY, sealed BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE suspects (record BLOB PRIMARY KEY, n INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
