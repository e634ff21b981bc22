package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"lunamq/core"
)

// Never is the Duration of the word "unlimited": the session expiry that MQTT 5
// sends as 0xFFFFFFFF, "does not expire" (MQTT 5.0, 3.1.2.11.2).
const Never = Duration(math.MaxUint32 * time.Second)

// The kinds of values beside texts, truths and lists. Each is set from what the
// file has (int64, float64, string, …), and knows what its word stands for.
type (
	// Count is a number of things.
	Count int
	// Size is a number of bytes, also "64KiB", "1MiB".
	Size int64
	// Duration is "100ms", "30s", "7d".
	Duration time.Duration
	// Rate is a number per second, or a share; 0 stands for "unlimited" and "off".
	Rate float64
	// Mode is the octal text of a file's permissions.
	Mode uint32
)

// value is implemented by pointers to the kinds.
type value interface {
	set(raw any) error
	setWord(word string)
	number() float64
}

func (c *Count) set(raw any) error {
	n, ok := raw.(int64)
	if !ok || int64(int(n)) != n {
		return errors.New("must be a whole number")
	}
	*c = Count(n)
	return nil
}

func (c *Count) setWord(word string) {
	*c = 0 // "auto"
	if word == "unlimited" {
		*c = core.Unlimited
	}
}

func (c *Count) number() float64 { return float64(*c) }

// units of Size: those of IEC 80000-13, powers of 1024.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"PiB", 1 << 50}, {"B", 1},
}

func (s *Size) set(raw any) error {
	switch x := raw.(type) {
	case int64:
		*s = Size(x)
		return nil
	case string:
		for _, u := range units {
			if digits, ok := strings.CutSuffix(x, u.name); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
				if err != nil || math.IsNaN(n) || math.Abs(n*u.bytes) > 1<<62 {
					break
				}
				*s = Size(n * u.bytes)
				return nil
			}
		}
	}
	return errors.New(`must be a number of bytes, or a size such as "64KiB", "1MiB", "2GiB"`)
}

func (s *Size) setWord(string) { *s = math.MaxInt64 }

func (s *Size) number() float64 { return float64(*s) }

// Int returns the size for the options of core that are an int.
func (s Size) Int() int { return int(min(int64(s), math.MaxInt)) }

var errDuration = errors.New(`must be a duration with its unit, such as "100ms", "30s", "15m", "12h", "7d"`)

func (d *Duration) set(raw any) error {
	text, ok := raw.(string)
	if !ok {
		return errDuration
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && math.Abs(n) < 100_000 {
			*d = Duration(n * 24 * float64(time.Hour))
			return nil
		}
	}
	x, err := time.ParseDuration(text)
	if err != nil {
		return errDuration
	}
	*d = Duration(x)
	return nil
}

func (d *Duration) setWord(word string) {
	*d = 0 // "off", "always"
	switch word {
	case "unlimited":
		*d = Never
	case "never":
		*d = -1
	}
}

func (d *Duration) number() float64 { return float64(*d) }

func (r *Rate) set(raw any) error {
	switch x := raw.(type) {
	case int64:
		*r = Rate(x)
	case float64:
		*r = Rate(x)
	default:
		return errors.New("must be a number")
	}
	return nil
}

func (r *Rate) setWord(string) { *r = 0 }

func (r *Rate) number() float64 { return float64(*r) }

func (m *Mode) set(raw any) error {
	text, ok := raw.(string)
	n, err := strconv.ParseUint(text, 8, 32)
	if !ok || err != nil {
		return errors.New(`must be octal permissions in quotes, such as "0660"`)
	}
	*m = Mode(n)
	return nil
}

func (m *Mode) setWord(string) {}

func (m *Mode) number() float64 { return float64(*m) }
