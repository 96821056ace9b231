package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// paper is a screen that can be read.
type paper struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

// find waits until the screen shows something and gives the last of it.
func (p *paper) find(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var found [][]string
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		found = re.FindAllStringSubmatch(p.b.String(), -1)
		return len(found) > 0
	}, time.Minute, 10*time.Millisecond, pattern)
	return found[len(found)-1]
}

// What the three commands do works with the files that are left, and the next
// request after the withdrawal is shown as withheld, with its reason.
func TestTrickle(t *testing.T) {
	opt := options(t)
	screen := &paper{}
	opt.Once, opt.Screen, opt.Pace, opt.Executable = false, screen, 30*time.Millisecond, "/bin/raccordo it"
	opt.Listen, opt.Admin, opt.refresh = "127.0.0.1:0", "127.0.0.1:0", 50*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type end struct {
		s   Summary
		err error
	}
	ended := make(chan end, 1)
	go func() {
		s, err := Run(ctx, opt)
		ended <- end{s, err}
	}()
	command := screen.find(t, `'/bin/raccordo it' consent withdraw --config (\S+) (\S+) && '/bin/raccordo it' push --config \S+ --as (\S+) --key (\S+) (\S+) (\S+)\n`)
	config := readConfig(t, command[1])
	socket := control.Dial(filepath.Join(config.DataDir, "control.sock"))
	screen.find(t, `on consent `+command[2]+`: delivered\n`)

	push := screen.find(t, `1\. .*\n +'/bin/raccordo it' push --config \S+ --as (\S+) --key (\S+) service_request (\S+)\n`)
	require.Equal(t, 1, pushAs(t, socket, config, push[1], push[2], "service_request", push[3]).Accepted)

	id, err := exchange.ParseConsentID(command[2])
	require.NoError(t, err)
	_, err = control.Call[control.ConsentEnd](ctx, socket, "consent/withdraw", control.WithdrawRequest{Consent: id})
	require.NoError(t, err)
	require.Equal(t, 1, pushAs(t, socket, config, command[3], command[4], command[5], command[6]).Accepted)
	screen.find(t, `on consent `+command[2]+`: not_released \(consent_withdrawn\)\n`)
	screen.find(t, `ledger export --config \S+ "\$L" && '/bin/raccordo it' ledger verify`)

	cancel()
	got := <-ended
	require.NoError(t, got.err, "%v", got.s.Findings)
	require.True(t, got.s.Verified)
	require.True(t, got.s.Balanced)
	require.Positive(t, got.s.Flows["pistoia_health"].Reasons["withheld/consent_withdrawn"])
	last := screen.find(t, `(?s)raccordo demo: the end(.*)numbers balance: true`)[1]
	require.Contains(t, last, "on consent "+command[2])
	require.NotContains(t, last, "pending", "everything under way has ended")
	_, err = os.Stat(filepath.Join(opt.Out, "summary.json"))
	require.NoError(t, err)
}

func readConfig(t *testing.T, file string) hub.Config {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	c, err := hub.LoadConfig(f, nil)
	require.NoError(t, err)
	return c
}

// pushAs does what `raccordo push` does.
func pushAs(t *testing.T, socket *control.Client, config hub.Config, as, keyFile, record, file string) *client.Acknowledgement {
	t.Helper()
	b, err := os.ReadFile(keyFile)
	require.NoError(t, err)
	block, _ := pem.Decode(b)
	require.NotNil(t, block)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	systems, err := control.Call[control.Systems](context.Background(), socket, "system/list", control.Nothing{})
	require.NoError(t, err)
	for _, s := range systems.Systems {
		if string(s.System) != as {
			continue
		}
		for purpose := range s.Purposes {
			c, err := client.New(client.Options{URL: "http://" + config.Listen, ClientID: s.Client, PurposeID: purpose,
				Key: key.(*rsa.PrivateKey), Now: time.Now, Random: rand.Reader})
			require.NoError(t, err)
			body, err := os.ReadFile(file)
			require.NoError(t, err)
			ack, err := c.Push(context.Background(), client.Push{Type: exchange.RecordType(record), Key: "own-" + filepath.Base(file),
				MediaType: "application/json", Body: exchange.NewPayload(body)})
			require.NoError(t, err)
			return ack
		}
	}
	t.Fatalf("no system %s", as)
	return nil
}
