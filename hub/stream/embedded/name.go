package embedded

import (
	"fmt"
	"strings"
)

const maxName = 80

// encodeName gives a file name for a topic or group: small letters, digits,
// '-' and '_' stand for themselves, every other byte is %XX. So names that
// differ by case differ on every file system, and none is "." or "..".
func encodeName(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", fmt.Errorf("%d bytes, want 1 to %d: %w", len(name), maxName, ErrName)
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		if plainByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// decodeName reads what encodeName wrote, and nothing else.
func decodeName(file string) (string, error) {
	var out []byte
	for i := 0; i < len(file); i++ {
		c := file[i]
		if c == '%' && i+2 < len(file) {
			if _, err := fmt.Sscanf(file[i+1:i+3], "%02X", &c); err != nil {
				return "", fmt.Errorf("a directory that is no topic: %w", ErrName)
			}
			i += 2
		}
		out = append(out, c)
	}
	if again, err := encodeName(string(out)); err != nil || again != file {
		return "", fmt.Errorf("a directory that is no topic: %w", ErrName)
	}
	return string(out), nil
}
