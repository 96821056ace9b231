package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

// runHere runs a command in this process.
func runHere(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(&process{args: args, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, now: time.Now, random: rand.Reader})
	return code, out.String(), errs.String()
}

var actList = regexp.MustCompile(`^raccordo [a-z-]+ ([a-z|-]+)\n`)

// leaves are all commands, those with acts once for each.
func leaves(t *testing.T) [][]string {
	t.Helper()
	var out [][]string
	for _, s := range subcommands() {
		code, stdout, stderr := runHere("", s.name, "--help")
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stdout, "raccordo "+s.name)
		m := actList.FindStringSubmatch(stdout)
		if m == nil || !strings.Contains(stdout, "Each has --help") {
			out = append(out, []string{s.name})
			continue
		}
		for _, act := range strings.Split(m[1], "|") {
			out = append(out, []string{s.name, act})
		}
	}
	require.Greater(t, len(out), 25)
	return out
}

// Every command explains itself in a paragraph, with an example of itself, and
// takes -o json.
func TestHelp(t *testing.T) {
	for _, words := range leaves(t) {
		name := "raccordo " + strings.Join(words, " ")
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runHere("", append(words, "--help")...)
			require.Equal(t, exitOK, code)
			require.Empty(t, stderr)
			require.True(t, strings.HasPrefix(stdout, name))
			require.Contains(t, stdout, "\nExample:\n")
			require.Contains(t, example(stdout), name)
			require.Contains(t, stdout, "-o FORMAT")
			require.Contains(t, stdout, "--config FILE")
			about := strings.Split(stdout, "\n\n")[1]
			require.Greater(t, len(about), 50, "a paragraph")
			for line := range strings.Lines(about) {
				require.LessOrEqual(t, len(line), 80)
			}
			_, other, _ := runHere("", append([]string{"help"}, words...)...)
			require.Equal(t, stdout, other)
		})
	}
	code, stdout, _ := runHere("", "help")
	require.Equal(t, exitOK, code)
	for _, s := range subcommands() {
		require.Contains(t, stdout, "  "+s.name+" ")
	}
}

// example is the part of a help text that can be pasted.
func example(help string) string {
	_, rest, _ := strings.Cut(help, "\nExample:\n")
	text, _, _ := strings.Cut(rest, "\nFlags:")
	return text
}

const code = "RSSMRA80A01E625X" // of nobody, and wrong

// What is used wrongly exits 2, says what to do, and shows no argument that
// could be a person's.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"fly"}, {"--nonsense"}, {"check"}, {"check", "a", "b"}, {"check", "--nonsense", "a"}, {"status", "-o", "xml"}, {"status"},
		{"consent"}, {"consent", "take"}, {"consent", "give"}, {"consent", "give", code}, {"consent", "show", code}, {"consent", "withdraw", code},
		{"consent", "withdraw", "--purpose", "p"}, {"dossier", "open"}, {"dossier", "close"}, {"dossier", "close", code}, {"dossier", "list", code},
		{"person", "link", code, code}, {"person", "link"}, {"parked", "show", "x"}, {"parked", "show", "0"}, {"parked", "replay", "1"},
		{"parked", "discard", "--reason", "r", "-1"}, {"ledger", "verify", "x"}, {"ledger", "prove", "first"}, {"push", "--as", "x", "t"},
		{"push", "--as", "x", "Not A Type", "f.json"}, {"push", "--as", "x", "t", "f.bin"}, {"push", "t", "f.json"}, {"push", "--as", "x", "t", "f.json"},
		{"token", "--as", "x"}, {"token", "--as", "x", "--new-key"}, {"mailbox"}, {"system", "add-key", "x"}, {"system", "rotate-keys"},
		{"stop-disclosures"}, {"explain", "f"}, {"help", "help"}, {"serve", "now"}, {"version", "1"}, {"schema", "check"}, {"map", "test"},
		{"consent", "give", "--purpose", "p", "--body", "b", "--role", "r", "--expires", "tomorrow"},
		{"consent", "give", "--purpose", "p", "--body", "b", "--role", "r", "--method", "pigeon"}, {"consent", "withdraw", "--method", "x"},
		{"system", "rotate-keys", "--data-dir", "d", "--keys", "all"}, {"stop-disclosures", "--data-dir", "d", "--reason", "Some Text"},
		{"parked", "replay", "--data-dir", "d", "--reason", "Some Text", "1"}, {"parked", "discard", "--data-dir", "d", "--reason", "no!", "1"},
		{"parked", "list", "--data-dir", "d", "--limit", "0"}, {"parked", "list", "--data-dir", "d", "--limit", "501"},
		{"mailbox", "--as", "x", "--limit", "0"}, {"mailbox", "--as", "x", "--limit", "501"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			got, stdout, stderr := runHere("", args...)
			require.Equal(t, exitUsage, got, stderr)
			require.Empty(t, stdout)
			require.NotContains(t, stderr, code)
			require.NotEmpty(t, stderr)
		})
	}
}

// A person is read from a line, and never shown again.
func TestParsePerson(t *testing.T) {
	for line, want := range map[string]string{
		"CF " + code:                          `{"system":"CF","value":"` + code + `"}`,
		"STP STP0000000000000":                `{"system":"STP","value":"STP0000000000000"}`,
		"LOCAL desk L-1":                      `{"system":"LOCAL","value":"L-1","body":"desk"}`,
		`{"system":"CF","value":"x y"}`:       `{"system":"CF","value":"x y"}`,
		"SUBJECT " + strings.Repeat("0a", 16): `{"subject":"` + strings.Repeat("0a", 16) + `"}`,
	} {
		p, err := parsePerson([]byte(line))
		require.NoError(t, err, line)
		got, err := json.Marshal(p)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
	}
	for _, line := range []string{code, "CF", "CF " + code + " x", "LOCAL " + code, "LOCAL a b c", "SUBJECT x", "{}", `{"system":"CF","value":"` + code + `","x":1}`,
		`{"value":"` + code + `"} {}`, `{"value":` + code + `}`} {
		_, err := parsePerson([]byte(line))
		require.Error(t, err, line)
		require.NotContains(t, err.Error(), code)
		require.Equal(t, exitUsage, exitCode(err))
	}
}

func FuzzParsePerson(f *testing.F) {
	f.Add([]byte("CF X"))
	f.Add([]byte(`{"system":"LOCAL","body":"b","value":"v"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		if _, err := parsePerson(line); err != nil && err.Error() != errPerson.Error() {
			t.Fatal("an error that may show the line")
		}
	})
}

// What must be printed and is not is a failure.
func TestAFullDiskIsAFailure(t *testing.T) {
	p := &process{args: []string{"version"}, stdin: strings.NewReader(""), stdout: full{}, stderr: &bytes.Buffer{}, now: time.Now, random: rand.Reader}
	require.Equal(t, exitFailed, run(p))
	p.args = []string{"version", "-o", "json"}
	require.Equal(t, exitFailed, run(p))
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// An error for machines is one JSON object with exit code, reason and faults.
func TestErrorsAsJSON(t *testing.T) {
	var out bytes.Buffer
	p := &process{stderr: &out, output: formatJSON, name: "push"}
	p.report(exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "d", exchange.Fault{Pointer: "/a", Rule: "enum", Line: 3}))
	require.JSONEq(t, `{"error":{"command":"push","exit":1,"reason":"schema","detail":"d","errors":[{"pointer":"/a","rule":"enum","line":3}]}}`, out.String())
}

func TestMediaOf(t *testing.T) {
	for file, want := range map[string]string{"a.json": "application/json", "b.NDJSON": "application/x-ndjson", "c.jsonl": "application/x-ndjson", "d.xml": "application/xml"} {
		got, err := mediaOf("", file)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := mediaOf("xml", "-")
	require.NoError(t, err)
	require.Equal(t, "application/xml", got)
	got, err = mediaOf("text/csv", "-")
	require.NoError(t, err)
	require.Equal(t, "text/csv", got, "the hub says what it does not read")
	_, err = mediaOf("", "-")
	require.Error(t, err)
}

// A key that is made is for its owner only, and no error shows a key.
func TestKeyFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.pem")
	got, public, stderr := runHere("", "token", "--as", "x", "--key", file, "--new-key")
	require.Equal(t, exitOK, got, stderr)
	require.Contains(t, public, "BEGIN PUBLIC KEY")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	bad := filepath.Join(t.TempDir(), "bad.pem")
	require.NoError(t, os.WriteFile(bad, []byte("-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----\n"), 0o600))
	got, _, stderr = runHere("", "token", "--as", "x", "--key", bad, "--url", "http://127.0.0.1:1", "--client-id", "c", "--purpose-id", "p")
	require.Equal(t, exitFailed, got)
	require.NotContains(t, stderr, "Q0FOQVJZ")
	got, _, stderr = runHere("", "token", "--as", "x", "--key", file, "--url", "http://127.0.0.1:1", "--client-id", "c", "--purpose-id", "p")
	require.Equal(t, exitFailed, got)
	require.Contains(t, stderr, "no hub answers at http://127.0.0.1:1\n")
	require.NotContains(t, stderr, "overloaded")
	got, _, stderr = runHere("", "system", "add-key", "--data-dir", t.TempDir(), "x", file)
	require.Equal(t, exitFailed, got)
	require.Contains(t, stderr, "private key")
	require.Contains(t, stderr, "give the public one")
	got, _, stderr = runHere(`{"kty":"RSA","d":"x"}`, "system", "add-key", "--data-dir", t.TempDir(), "x", "-")
	require.Equal(t, exitFailed, got)
	require.Contains(t, stderr, "private key")
}

// What is used wrongly because of what is there says what it must be.
func TestDirectoriesMustBeEmpty(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, d := range []string{dir, file} {
		got, _, stderr := runHere("", "ledger", "export", "--data-dir", "nowhere", d)
		require.Equal(t, exitFailed, got)
		require.Contains(t, stderr, "give an empty directory")
		require.NoFileExists(t, d+".pub")
		got, _, stderr = runHere("", "demo", "--once", "--data-dir", d)
		require.Equal(t, exitUsage, got)
		require.Contains(t, stderr, "must be empty")
	}
}

// A hub that is not there is told by its socket alone.
func TestNoHub(t *testing.T) {
	got, _, stderr := runHere("", "status", "--data-dir", "nowhere")
	require.Equal(t, exitFailed, got)
	require.Equal(t, "raccordo status: no hub answers on its control socket nowhere/control.sock; is it running?\n", stderr)
}

// A method is read in any case.
func TestMethodOf(t *testing.T) {
	for in, want := range map[string]string{"": "", "spid": "SPID", "Verbal_Recorded": "VERBAL_RECORDED", "PAPER": "PAPER"} {
		got, err := methodOf(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, help, _ := runHere("", "consent", "give", "--help")
	require.Contains(t, help, "PAPER, SPID, CIE, VERBAL_RECORDED, SIGNATURE_TABLET")
}

func TestCount(t *testing.T) {
	require.Equal(t, []string{"0 keys", "1 key", "2 keys"}, []string{count(0, "key"), count(1, "key"), count(2, "key")})
}
