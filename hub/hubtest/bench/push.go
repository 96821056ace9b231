package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// line is one connection of a caller that pushes one request after another. It
// writes HTTP by hand: what it costs is taken from the hub's share.
type line struct {
	run     *run
	traffic traffic
	dialled net.Conn
	reader  *bufio.Reader
	out     []byte
	body    []byte
	flows   []int
	keys    int
}

// push sends one request of n records until it is answered with 202, and
// enters what was acknowledged.
func (l *line) push(ctx context.Context, n int) error {
	l.body, l.flows = l.body[:0], l.flows[:0]
	for range n {
		var flows int
		l.body, flows = l.traffic.next(l.body)
		l.flows = append(l.flows, flows)
		if n > 1 {
			l.body = append(l.body, '\n')
		}
	}
	l.keys++
	key := "bench-" + l.traffic.name + "-" + strconv.Itoa(l.keys)
	for {
		began := time.Now()
		status, wait, answer, err := l.request(ctx, n, key)
		if err != nil {
			return err
		}
		switch status {
		case http.StatusAccepted:
			l.run.acknowledged.add(time.Since(began))
			return l.enter(began, answer)
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			l.run.turnedAway.Add(1)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			return fmt.Errorf("pushed and got %d: %.300s", status, answer)
		}
	}
}

var recordKey = []byte(`"record_id":"`)

// enter counts the records of an acknowledgement, in the order they were sent.
func (l *line) enter(began time.Time, answer []byte) error {
	i := 0
	for ; ; i++ {
		at := bytes.Index(answer, recordKey)
		if at < 0 {
			break
		}
		answer = answer[at+len(recordKey):]
		id, err := exchange.ParseRecordID(string(answer[:min(36, len(answer))]))
		if err != nil || i >= len(l.flows) {
			return fmt.Errorf("acknowledgement of %d records: not one for each", len(l.flows))
		}
		l.run.watch.pushed(id, began, l.flows[i])
		l.run.disclosures.Add(int64(l.flows[i]))
	}
	if i != len(l.flows) {
		return fmt.Errorf("%d of %d records were accepted", i, len(l.flows))
	}
	l.run.accepted.Add(int64(i))
	return nil
}

func (l *line) request(ctx context.Context, n int, key string) (status int, wait time.Duration, answer []byte, err error) {
	v, err := l.run.desk.Voucher(ctx)
	if err != nil {
		return 0, 0, nil, err
	}
	if l.dialled == nil {
		if l.dialled, err = net.Dial("tcp", l.run.hub.Addr()); err != nil {
			return 0, 0, nil, err
		}
		l.reader = bufio.NewReaderSize(l.dialled, 8<<10)
	}
	media := "application/json"
	if n > 1 {
		media = client.MediaNDJSON
	}
	l.out = fmt.Appendf(l.out[:0], "POST /v1/records/service_request HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n"+
		"Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n", l.run.hub.Addr(), v.Token, media, key, len(l.body))
	l.out = append(l.out, l.body...)
	if _, err := l.dialled.Write(l.out); err != nil {
		return 0, 0, nil, fmt.Errorf("push: %w", err)
	}
	resp, err := http.ReadResponse(l.reader, nil)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		return 0, 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(s) * time.Second
	}
	return resp.StatusCode, wait, answer, nil
}

func (l *line) close() {
	if l.dialled != nil {
		_ = l.dialled.Close()
	}
}
