package lib

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxLayout and maxTimeText bound what Format and Parse read, in bytes. A directive becomes 25
// bytes at most, so a result stays below 13 times its layout.
const (
	maxLayout   = 256
	maxTimeText = 512
)

// The years that RFC 3339 can write, in seconds since 1970: 0001-01-01 to the end of 9999.
const (
	minTime = -62_135_596_800
	maxTime = 253_402_300_799
)

// microsecond is the step times are rounded to: near today a float64 of seconds resolves 0.24 µs.
const microsecond = 1e6

// Format writes t, in seconds since 1970-01-01T00:00:00Z, rounded to the microsecond.
//
// layout is "rfc3339" (also ""; with a fraction where there is one), "date" (2006-01-02), "time"
// (15:04:05, with a fraction where there is one), "unix" (seconds, likewise), or a text with the
// directives of strftime, in English:
//
//	%Y year  %y its last two digits  %m month  %d day  %e day, padded with a space  %j day of year
//	%H hour  %I of twelve  %p AM or PM  %M minute  %S second  %f microseconds, six digits
//	%a %A weekday  %b %h %B month's name  %u weekday 1–7 from Monday  %w 0–6 from Sunday
//	%G %V ISO year and week  %z +0200  %Z zone's name  %s seconds since 1970
//	%F is %Y-%m-%d  %T is %H:%M:%S  %R is %H:%M  %D is %m/%d/%y  %n newline  %t tab  %% a percent sign
//
// zone is "" or "UTC", "local", an offset such as "+02:00", or a name such as "Europe/Berlin".
// Errors: a time outside the years 1 to 9999 or not finite, an unknown layout, directive or zone, a
// layout longer than 256 bytes.
func Format(t float64, layout, zone string) (string, error) {
	at, err := timeOf(t)
	if err != nil {
		return "", err
	}
	loc, err := location(zone)
	if err != nil {
		return "", err
	}
	at = at.In(loc)
	if year := at.Year(); year < 1 || year > 9999 {
		return "", fmt.Errorf("time: the year %d; 1 to 9999 can be written", year)
	}
	switch layout {
	case "", "rfc3339":
		return at.Format(time.RFC3339Nano), nil
	case "date":
		return at.Format(time.DateOnly), nil
	case "time":
		return at.Format("15:04:05.999999"), nil
	case "unix":
		return formatUnix(at), nil
	}
	if err := checkLayout(layout); err != nil {
		return "", err
	}
	return strftime(at, layout)
}

// Parse reads s as layout has it and returns seconds since 1970-01-01T00:00:00Z. The layouts are
// those of Format; "rfc3339" is read strictly. What a layout leaves out is that of 1970-01-01
// 00:00:00 UTC. Of strftime's directives %V, %G, %u, %w and %Z cannot be read; numbers may lack
// leading zeros, names go in either case, %y is 1969 to 2068, %f has one to nine digits, and a
// weekday must be the date's. Errors name what did not fit and where, with offsets from 0.
func Parse(s, layout string) (float64, error) {
	if len(s) > maxTimeText {
		return 0, fmt.Errorf("time: a text of %d bytes, at most %d are read", len(s), maxTimeText)
	}
	switch layout {
	case "", "rfc3339":
		return parseRFC3339(s)
	case "date":
		return parseGo(s, time.DateOnly)
	case "time":
		return parseGo(s, time.TimeOnly)
	case "unix":
		return parseUnix(s)
	}
	if err := checkLayout(layout); err != nil {
		return 0, err
	}
	return strptime(s, layout)
}

func checkLayout(layout string) error {
	if len(layout) > maxLayout {
		return fmt.Errorf("time: a layout of %d bytes, at most %d are read", len(layout), maxLayout)
	}
	if !strings.Contains(layout, "%") {
		return fmt.Errorf("time: no layout %q; there are rfc3339, date, time, unix and those with %%", clip(layout, maxKeyShown))
	}
	return nil
}

func timeOf(t float64) (time.Time, error) {
	if math.IsNaN(t) || t < minTime || t >= maxTime+1 {
		return time.Time{}, fmt.Errorf("time: %v is outside the years 1 to 9999", t)
	}
	whole := math.Floor(t)
	micros := int64(math.Round((t - whole) * microsecond))
	return time.Unix(int64(whole), micros*1000).UTC(), nil
}

func seconds(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}

// inRange is t in seconds, or an error for a year that could not be written.
func inRange(t time.Time) (float64, error) {
	if unix := t.Unix(); unix < minTime || unix > maxTime {
		return 0, errors.New("time: outside the years 1 to 9999 in UTC")
	}
	return seconds(t), nil
}

func formatUnix(t time.Time) string {
	micros := t.UnixMicro()
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	s := sign + strconv.FormatInt(micros/microsecond, 10)
	if fraction := micros % microsecond; fraction != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%06d", fraction), "0")
	}
	return s
}

// parseUnix reads what formatUnix writes, with any number of digits.
func parseUnix(s string) (float64, error) {
	whole, fraction, hasFraction := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !isDigits(whole) || hasFraction && !isDigits(fraction) {
		return 0, fmt.Errorf("time: %q is not a number of seconds", clip(s, maxKeyShown))
	}
	t, err := strconv.ParseFloat(s, 64)
	if err != nil || t < minTime || t >= maxTime+1 {
		return 0, fmt.Errorf("time: %s is outside the years 1 to 9999", clip(s, maxKeyShown))
	}
	return t, nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// parseRFC3339 refuses what time.Parse lets through beside RFC 3339 section 5.6 (go.dev/issue/54580):
// an hour of one digit, a comma for the point, offsets beyond 23:59.
func parseRFC3339(s string) (float64, error) {
	t, err := time.Parse(time.RFC3339, s)
	ok := err == nil && len(s) > 13 && s[13] == ':' && !strings.Contains(s, ",")
	if ok && s[len(s)-1] != 'Z' {
		_, ok = parseOffset(s[len(s)-len("+00:00"):])
	}
	if !ok {
		return 0, fmt.Errorf("time: %q is not RFC 3339, such as 2006-01-02T15:04:05Z", clip(s, maxKeyShown))
	}
	return inRange(t)
}

// parseGo reads one of Go's layouts, in the exact width that it has; a time may have a fraction of
// up to nine digits after a point, which time.Parse takes by itself.
func parseGo(s, layout string) (float64, error) {
	t, err := time.Parse(layout, s)
	head, fraction, hasFraction := strings.Cut(s, ".")
	exact := len(head) == len(layout) && (!hasFraction || isDigits(fraction) && len(fraction) <= 9)
	if err != nil || !exact || strings.Contains(s, ",") {
		return 0, fmt.Errorf("time: %q does not fit %s", clip(s, maxKeyShown), layout)
	}
	if layout == time.TimeOnly { // time.Parse puts it into the year 0
		t = t.AddDate(1970, 0, 0)
	}
	return inRange(t)
}

// maxZones bounds the zones that are remembered; there are about 600.
const maxZones = 1024

// zones remembers the zones read: time.LoadLocation reads a file each time.
var zones = struct {
	mu    sync.Mutex
	named map[string]*time.Location // guarded by mu
}{named: make(map[string]*time.Location)}

func location(zone string) (*time.Location, error) {
	switch {
	case zone == "" || zone == "UTC" || zone == "utc" || zone == "Z":
		return time.UTC, nil
	case zone == "local":
		return time.Local, nil
	case zone[0] == '+' || zone[0] == '-':
		offset, ok := parseOffset(zone)
		if !ok {
			return nil, fmt.Errorf("time: no offset %q; one is +02:00", clip(zone, maxKeyShown))
		}
		return time.FixedZone("", offset), nil
	case zone == "Local" || len(zone) > maxKeyShown:
		return nil, fmt.Errorf("time: no zone %q", clip(zone, maxKeyShown))
	}
	return namedZone(zone)
}

func namedZone(zone string) (*time.Location, error) {
	zones.mu.Lock()
	defer zones.mu.Unlock()
	if loc := zones.named[zone]; loc != nil {
		return loc, nil
	}
	loc, err := time.LoadLocation(zone) // refuses names that lead out of the zone files
	if err != nil {
		return nil, fmt.Errorf("time: no zone %q", zone)
	}
	if len(zones.named) < maxZones {
		zones.named[strings.Clone(zone)] = loc
	}
	return loc, nil
}

// parseOffset reads +hh:mm or +hhmm, in seconds; RFC 3339 section 5.6 allows up to 23:59.
func parseOffset(s string) (int, bool) {
	digits := s[1:]
	if len(digits) == 5 && digits[2] == ':' {
		digits = digits[:2] + digits[3:]
	}
	if len(digits) != 4 || !isDigits(digits) {
		return 0, false
	}
	h, _ := strconv.Atoi(digits[:2])
	m, _ := strconv.Atoi(digits[2:])
	if h > 23 || m > 59 {
		return 0, false
	}
	offset := h*3600 + m*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}
