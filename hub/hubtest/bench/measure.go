package bench

import (
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"raccordo/hub/exchange"
)

// histogram counts durations in buckets that are 3 % wide.
type histogram struct{ buckets [64 * 32]atomic.Int64 }

func (h *histogram) add(d time.Duration) {
	v := uint64(max(d, 1))
	shift := max(bits.Len64(v)-6, 0)
	h.buckets[shift*32+int(v>>shift)].Add(1)
}

// quantile is the lower bound of the bucket in which the q-th part lies.
func (h *histogram) quantile(q float64) time.Duration {
	var all int64
	for i := range h.buckets {
		all += h.buckets[i].Load()
	}
	rank := int64(q * float64(all))
	for i := range h.buckets {
		if rank -= h.buckets[i].Load(); rank < 0 {
			shift := max(i/32-1, 0)
			return time.Duration(uint64(i-shift*32) << shift)
		}
	}
	return 0
}

// watch measures from the first byte pushed to the recipient's own request, of
// one record in sixteen: all would cost more than some of what is measured.
type watch struct {
	delivered [2]histogram // by way
	shards    [16]struct {
		mu   sync.Mutex
		open map[exchange.RecordID]*passage
	}
}

// passage is one record on its way. An arrival may be seen before the
// acknowledgement.
type passage struct {
	began    time.Time
	flows    int // known once it is acknowledged
	arrivals []arrival
}

// way is how a record gets to its recipient.
type way int

const (
	called way = iota
	fetched
)

type arrival struct {
	at  time.Time
	way way
}

func (w *watch) entry(id exchange.RecordID, fn func(*passage)) {
	if id[15]&15 != 0 {
		return
	}
	s := &w.shards[id[14]&15]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[exchange.RecordID]*passage{}
	}
	p := s.open[id]
	if p == nil {
		p = &passage{}
		s.open[id] = p
	}
	fn(p)
	if p.flows == 0 {
		return
	}
	for _, a := range p.arrivals {
		w.delivered[a.way].add(a.at.Sub(p.began))
		p.flows--
	}
	if p.arrivals = nil; p.flows <= 0 {
		delete(s.open, id)
	}
}

func (w *watch) pushed(id exchange.RecordID, began time.Time, flows int) {
	w.entry(id, func(p *passage) { p.began, p.flows = began, flows })
}

func (w *watch) arrived(id exchange.RecordID, at time.Time, how way) {
	w.entry(id, func(p *passage) { p.arrivals = append(p.arrivals, arrival{at, how}) })
}

// usage is what the process has used so far.
type usage struct {
	at           time.Time
	user, system time.Duration
	written      int64 // bytes that the disk has taken, whoever wrote them (Linux; 0 elsewhere)
	flushes      int64 // of the disk's own cache
	calls        int64 // of write(2) and its kin
	allocated    uint64
	allocations  uint64
	collections  uint32
}

func used(dir string) usage {
	u := usage{at: time.Now()}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.user, u.system = time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
	}
	u.written, u.flushes = disk(dir)
	u.calls = procFigure("/proc/self/io", "syscw:")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.allocated, u.allocations, u.collections = m.TotalAlloc, m.Mallocs, m.NumGC
	return u
}

// resident is the memory of the process in bytes, 0 where it cannot be read.
func resident() int64 { return procFigure("/proc/self/status", "VmRSS:") << 10 }

func procFigure(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// disk reads what the device under dir has written and flushed. The kernel's
// figure for the process (write_bytes) counts whole folios that have one dirty
// block, ten times what reaches the disk.
func disk(dir string) (written, flushes int64) {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return 0, 0
	}
	major, minor := st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00
	b, err := os.ReadFile("/sys/dev/block/" + strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10) + "/stat")
	if err != nil {
		return 0, 0
	}
	f := strings.Fields(string(b)) // kernel's Documentation/block/stat.rst
	if len(f) < 16 {
		return 0, 0
	}
	sectors, _ := strconv.ParseInt(f[6], 10, 64)
	flushes, _ = strconv.ParseInt(f[15], 10, 64)
	return sectors * 512, flushes
}

// load is the machine's load average of the last minute, "" where unknown.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
