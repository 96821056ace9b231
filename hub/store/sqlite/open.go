package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// FileName is the name of the database in a data directory.
const FileName = "store.db"

// Errors of this engine beside those of package store.
var (
	ErrPanicked = errors.New("a transaction's function panicked; what it wrote is undone")
	ErrReplaced = errors.New("a file of the store was removed or replaced while it was in use")
	ErrClosed   = errors.New("the store is closed")
)

// oldest is the first SQLite without the WAL-reset race of 3.7.0 to 3.51.2.
var oldest = [3]int{3, 51, 3}

// quickBytes is up to which size of file the whole of it is looked through at
// opening; larger ones are checked by [Store.Check] alone.
const quickBytes = 256 << 20

// readers is how many views run at the same time; more wait.
const readers = 4

// Options say what to open.
type Options struct {
	// Dir is the data directory; the file in it is [FileName]. It is created
	// (0700) if it is not there.
	Dir string
	// Path is the file itself, instead of Dir.
	Path string
	// Hub is the identity the store must have. Zero takes the one it has; a
	// new store then draws one from Rand.
	Hub exchange.HubID
	// Rand is a cryptographic source, needed for a new store without Hub.
	Rand io.Reader
	// Logger hears when and why the engine stops; nil discards.
	Logger *slog.Logger
}

// Store is an open engine.
type Store struct {
	path string
	hub  exchange.HubID
	log  *slog.Logger
	lock *os.File

	w     *conn
	pool  chan *conn
	files map[string]os.FileInfo

	queue    chan *request
	gathered []*request // scratch of the writer
	tried    int        // frames in the log at the last checkpoint

	stopOnce  sync.Once
	stopped   chan struct{}
	why       error // set before stopped is closed
	closeOnce sync.Once
	closing   chan struct{}
	written   chan struct{} // the writer has ended
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open opens the store, creating it (0600) if it is not there, and makes sure
// that it is whole, this hub's, of a schema this version knows, and nobody
// else's at the moment. Errors: [store.ErrInUse], [store.ErrForeign],
// [store.ErrSchema], [store.ErrCorrupt].
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		path: o.Path, log: o.Logger,
		pool: make(chan *conn, readers), files: map[string]os.FileInfo{},
		queue:   make(chan *request, queueLength),
		stopped: make(chan struct{}), closing: make(chan struct{}), written: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.path == "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		s.path = filepath.Join(o.Dir, FileName)
	}
	if err := s.open(ctx, o); err != nil {
		s.release()
		return nil, fmt.Errorf("open store: %w", err)
	}
	go s.write()
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	if err := s.takeLock(); err != nil {
		return err
	}
	if err := createFile(s.path); err != nil {
		return err
	}
	if err := checkLog(s.path + "-wal"); err != nil {
		return err
	}
	var err error
	if s.w, err = connect(dsn(s.path, "busy_timeout(100)", "synchronous(FULL)", "cache_size(-65536)", "wal_autocheckpoint(0)")); err != nil {
		return err
	}
	if err := s.prepare(ctx, o); err != nil {
		return err
	}
	for range readers {
		c, err := connect(dsn(s.path, "busy_timeout(5000)", "query_only(1)", "cache_size(-8192)"))
		if err != nil {
			return err
		}
		s.pool <- c
		// One read opens the log, so that no connection ever opens files later.
		if err := c.one("SELECT size FROM head", func(row) error { return nil }); err != nil {
			return err
		}
	}
	return s.rememberFiles()
}

// prepare brings the file to this version's schema and reads who it belongs to.
func (s *Store) prepare(ctx context.Context, o Options) error {
	if err := versionAtLeast(s.w, oldest); err != nil {
		return err
	}
	mode := ""
	if err := s.w.one("PRAGMA journal_mode=WAL", func(v row) error { mode = v.text(0); return nil }); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %s, not wal", mode)
	}
	if err := migrate(s.w, migrationFiles); err != nil {
		return err
	}
	if err := sameSchema(s.w, migrationFiles); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.identify(o); err != nil {
		return err
	}
	if info, err := os.Stat(s.path); err != nil || info.Size() <= quickBytes {
		if err := errors.Join(err, quickCheck(s.w)); err != nil {
			return err
		}
	}
	if err := essentials(s.w); err != nil {
		return err
	}
	// An empty log, so that none of its frames is from before a crash; on a full
	// disk it stays, and reading goes on.
	if _, _, err := s.checkpoint("TRUNCATE"); err != nil && !errors.Is(err, store.ErrFull) {
		return err
	}
	return nil
}

// identify compares the store's hub with the expected one, or gives a new
// store its identity.
func (s *Store) identify(o Options) error {
	head, err := (&reader{c: s.w}).Head()
	if errors.Is(err, store.ErrNotFound) {
		if head.Hub = o.Hub; head.Hub == (exchange.HubID{}) {
			if o.Rand == nil {
				return errors.New("a new store needs a hub identity or a source of randomness")
			}
			if head.Hub, err = exchange.NewHubID(o.Rand); err != nil {
				return err
			}
		}
		err = putHead(s.w, head)
	}
	if err != nil {
		return err
	}
	if o.Hub != (exchange.HubID{}) && o.Hub != head.Hub {
		return store.ErrForeign
	}
	s.hub = head.Hub
	return nil
}

// takeLock holds a lock file for as long as the process lives. It is the
// kernel's lock, so a killed process leaves none behind.
func (s *Store) takeLock() error {
	f, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return store.ErrInUse
		}
		return fmt.Errorf("lock: %w", err)
	}
	s.lock = f
	return nil
}

// createFile makes an empty database file whose name survives a power cut;
// SQLite syncs the directory for its log, but not for the database.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append(pragmas, "temp_store(MEMORY)", "trusted_schema(0)", "cell_size_check(1)"),
		"_dqs": {"0"}, "_defensive": {"1"}, "_error_rc": {"1"}, "mode": {"rw"}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

func versionAtLeast(c *conn, want [3]int) error {
	text := ""
	if err := c.one("SELECT sqlite_version()", func(v row) error { text = v.text(0); return nil }); err != nil {
		return err
	}
	parts := strings.SplitN(text, ".", 3)
	for i := range want {
		n := 0
		if i < len(parts) {
			n, _ = strconv.Atoi(parts[i])
		}
		if n != want[i] {
			if n > want[i] {
				return nil
			}
			return fmt.Errorf("SQLite %s is older than 3.51.3: %w", text, store.ErrSchema)
		}
	}
	return nil
}

// rememberFiles notes which files the connections hold.
func (s *Store) rememberFiles() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(s.path + suffix)
		if err != nil {
			return err
		}
		s.files[s.path+suffix] = info
	}
	return nil
}

// sameFiles fails if one of them is no longer what its name leads to: what was
// written then would be gone with the last descriptor.
func (s *Store) sameFiles() error {
	for path, was := range s.files {
		if is, err := os.Stat(path); err != nil || !os.SameFile(was, is) {
			return ErrReplaced
		}
	}
	return nil
}

// Hub is the identity of the hub the store belongs to.
func (s *Store) Hub() exchange.HubID { return s.hub }

// Ledger runs fn in one transaction under the lock of the head. It returns nil
// only when everything fn wrote is durable.
func (s *Store) Ledger(ctx context.Context, fn func(store.LedgerTx) error) error {
	return s.submit(ctx, func(t *tx) error { return fn(ledgerTx{t}) })
}

// Side runs fn in one transaction on the side tables. It returns nil only when
// everything fn wrote is durable.
func (s *Store) Side(ctx context.Context, fn func(store.SideTx) error) error {
	return s.submit(ctx, func(t *tx) error { return fn(sideTx{t}) })
}

// View runs fn on one snapshot of what is committed. Its connection is one of
// a few: fn must end soon, and must not open another view.
func (s *Store) View(ctx context.Context, fn func(store.ReadTx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-s.pool:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return s.stopError()
	}
	defer func() { s.pool <- c }()
	select {
	case <-s.stopped:
		return s.stopError()
	default:
	}
	if _, err := c.exec("BEGIN"); err != nil {
		return err
	}
	v := &view{reader{c: c, ctx: ctx}}
	defer func() {
		v.over = true
		if _, e := c.exec("ROLLBACK"); e != nil && err == nil {
			err = e
		}
	}()
	// The first read fixes the snapshot; what this one reads is of no interest,
	// which halves what a view with one look-up costs.
	if _, err := c.exec("SELECT 1 FROM head"); err != nil {
		return err
	}
	return fn(v)
}

// Close ends what is queued, empties the log and gives the file up. It waits
// for views. It is idempotent.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.written
		s.stop(ErrClosed)
		for range readers {
			c := <-s.pool
			s.closeErr = errors.Join(s.closeErr, c.close())
		}
		s.closeErr = errors.Join(s.closeErr, s.w.close())
		s.w = nil
		s.release()
	})
	return s.closeErr
}

// release gives up what a failed opening or a closing still holds.
func (s *Store) release() {
	for {
		select {
		case c := <-s.pool:
			_ = c.close()
			continue
		default:
		}
		break
	}
	if s.w != nil {
		_ = s.w.close()
	}
	if s.lock != nil {
		_ = s.lock.Close()
	}
}
