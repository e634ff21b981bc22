package lib

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// goLayouts are the directives that Go's time package writes as they are.
var goLayouts = [256]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'j': "002",
	'H': "15", 'I': "03", 'p': "PM", 'M': "04", 'S': "05",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January",
	'z': "-0700", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06",
}

// strftime writes t by a layout of directives, see Format.
func strftime(t time.Time, layout string) (string, error) {
	var out []byte
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' {
			out = append(out, layout[i])
			continue
		}
		if i++; i == len(layout) {
			return "", errLonePercent
		}
		var err error
		if out, err = appendDirective(out, t, layout[i]); err != nil {
			return "", err
		}
	}
	return string(out), nil
}

var errLonePercent = fmt.Errorf("time: the layout ends in a lone %%; %%%% is a percent sign")

func unknownDirective(c byte, what string) error {
	return fmt.Errorf("time: the directive %q cannot be %s", "%"+string(rune(c)), what)
}

func appendDirective(out []byte, t time.Time, c byte) ([]byte, error) {
	if l := goLayouts[c]; l != "" {
		return t.AppendFormat(out, l), nil
	}
	switch c {
	case 'f':
		return fmt.Appendf(out, "%06d", t.Nanosecond()/1000), nil
	case 's':
		return strconv.AppendInt(out, t.Unix(), 10), nil
	case 'u':
		return strconv.AppendInt(out, int64(t.Weekday()+6)%7+1, 10), nil
	case 'w':
		return strconv.AppendInt(out, int64(t.Weekday()), 10), nil
	case 'G':
		year, _ := t.ISOWeek()
		return fmt.Appendf(out, "%04d", year), nil
	case 'V':
		_, week := t.ISOWeek()
		return fmt.Appendf(out, "%02d", week), nil
	case 'Z':
		return append(out, zoneName(t)...), nil
	case 'n':
		return append(out, '\n'), nil
	case 't':
		return append(out, '\t'), nil
	case '%':
		return append(out, '%'), nil
	}
	return nil, unknownDirective(c, "written")
}

// zoneName is the zone's abbreviation, or the offset where it has none.
func zoneName(t time.Time) string {
	if name, _ := t.Zone(); name != "" {
		return name
	}
	return t.Format("-07:00")
}

// timeFields is what strptime gathers. Each field is set once at most.
type timeFields struct {
	set [256]bool // by directive

	year, month, day  int
	yearDay           int
	hour, hour12      int
	minute, second    int
	nanos             int
	offset            int
	unix              int64
	weekday           time.Weekday
	afternoon, isUnix bool
}

// timeReader reads one text by one layout.
type timeReader struct {
	text string
	pos  int
	timeFields
}

// strptime reads a time by a layout of directives, see Parse.
func strptime(s, layout string) (float64, error) {
	r := timeReader{text: s, timeFields: timeFields{year: 1970, month: 1, day: 1}}
	if err := r.layout(layout); err != nil {
		return 0, err
	}
	if r.pos < len(s) {
		return 0, r.fail("more text than the layout has")
	}
	t, err := r.time()
	if err != nil {
		return 0, err
	}
	return inRange(t)
}

func (r *timeReader) fail(what string) error {
	return fmt.Errorf("time: %s at offset %d of %q", what, r.pos, clip(r.text, maxKeyShown))
}

func (r *timeReader) layout(layout string) error {
	for i := 0; i < len(layout); i++ {
		c := layout[i]
		if c == '%' {
			if i++; i == len(layout) {
				return errLonePercent
			}
			if err := r.directive(layout[i]); err != nil {
				return err
			}
			continue
		}
		if err := r.literal(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *timeReader) literal(c byte) error {
	if r.pos >= len(r.text) || r.text[r.pos] != c {
		return r.fail(fmt.Sprintf("%q is missing", string(rune(c))))
	}
	r.pos++
	return nil
}

// timeNumbers are the directives that are a number, with its digits and range.
var timeNumbers = [256]struct {
	digits, low, high int
	field             func(*timeFields) *int
}{
	'Y': {4, 1, 9999, func(f *timeFields) *int { return &f.year }},
	'y': {2, 0, 99, func(f *timeFields) *int { return &f.year }},
	'm': {2, 1, 12, func(f *timeFields) *int { return &f.month }},
	'd': {2, 1, 31, func(f *timeFields) *int { return &f.day }},
	'e': {2, 1, 31, func(f *timeFields) *int { return &f.day }},
	'j': {3, 1, 366, func(f *timeFields) *int { return &f.yearDay }},
	'H': {2, 0, 23, func(f *timeFields) *int { return &f.hour }},
	'I': {2, 1, 12, func(f *timeFields) *int { return &f.hour12 }},
	'M': {2, 0, 59, func(f *timeFields) *int { return &f.minute }},
	'S': {2, 0, 59, func(f *timeFields) *int { return &f.second }},
}

// timeShorthands are the directives that stand for others.
var timeShorthands = [256]string{'F': "%Y-%m-%d", 'T': "%H:%M:%S", 'R': "%H:%M", 'D': "%m/%d/%y"}

// sameField maps directives to the one whose field they also fill.
var sameField = [256]byte{'y': 'Y', 'e': 'd', 'A': 'a', 'B': 'm', 'b': 'm', 'h': 'm'}

func (r *timeReader) directive(c byte) error {
	switch c {
	case '%':
		return r.literal('%')
	case 'n':
		return r.literal('\n')
	case 't':
		return r.literal('\t')
	}
	if short := timeShorthands[c]; short != "" {
		return r.layout(short)
	}
	if err := r.once(c); err != nil {
		return err
	}
	if n := timeNumbers[c]; n.digits > 0 {
		return r.number(c, n.digits, n.low, n.high, n.field(&r.timeFields))
	}
	return r.word(c)
}

// once refuses a layout that fills a field twice.
func (r *timeReader) once(c byte) error {
	if same := sameField[c]; same != 0 {
		c = same
	}
	if r.set[c] {
		return fmt.Errorf("time: the layout gives %%%c twice", c)
	}
	r.set[c] = true
	return nil
}

func (r *timeReader) number(c byte, digits, low, high int, field *int) error {
	if c == 'e' && r.pos < len(r.text) && r.text[r.pos] == ' ' {
		r.pos++
		digits = 1
	}
	text := r.digits(digits)
	if c == 'Y' && len(text) != 4 {
		return r.fail("a year of four digits is missing")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return r.fail(fmt.Sprintf("%%%c wants %d to %d", c, low, high))
	}
	if c == 'y' { // POSIX strptime: 69 to 99 are of the last century
		if n += 1900; n < 1969 {
			n += 100
		}
	}
	*field = n
	r.pos += len(text)
	return nil
}

// digits returns the digits ahead, up to max of them.
func (r *timeReader) digits(max int) string {
	end := r.pos
	for end < len(r.text) && end-r.pos < max && r.text[end]-'0' <= 9 {
		end++
	}
	return r.text[r.pos:end]
}

// word reads the directives that are not a plain number.
func (r *timeReader) word(c byte) error {
	switch c {
	case 'b', 'h', 'B':
		return r.name(12, func(i int) string { return time.Month(i + 1).String() }, c == 'B', func(i int) { r.month = i + 1 })
	case 'a', 'A':
		return r.name(7, func(i int) string { return time.Weekday(i).String() }, c == 'A', func(i int) { r.weekday = time.Weekday(i) })
	case 'p':
		return r.name(2, func(i int) string { return [...]string{"AM", "PM"}[i] }, true, func(i int) { r.afternoon = i == 1 })
	case 'f':
		return r.fraction()
	case 'z':
		return r.zone()
	case 's':
		return r.epoch()
	}
	return unknownDirective(c, "read")
}

// name reads one of n names, whole or by its first three letters.
func (r *timeReader) name(n int, name func(int) string, whole bool, found func(int)) error {
	width := 9 // of the longest, Wednesday and September
	if !whole {
		width = 3
	}
	for i := range n {
		s := name(i)
		s = s[:min(len(s), width)]
		if end := r.pos + len(s); end <= len(r.text) && strings.EqualFold(r.text[r.pos:end], s) {
			found(i)
			r.pos = end
			return nil
		}
	}
	first := name(0)
	return r.fail("a name such as " + first[:min(len(first), width)] + " is missing")
}

func (r *timeReader) fraction() error {
	text := r.digits(9)
	if text == "" {
		return r.fail("the digits of a fraction are missing")
	}
	r.nanos, _ = strconv.Atoi(text + strings.Repeat("0", 9-len(text)))
	r.pos += len(text)
	return nil
}

// zone reads Z, +hhmm or +hh:mm.
func (r *timeReader) zone() error {
	rest := r.text[r.pos:]
	if strings.HasPrefix(rest, "Z") {
		r.pos++
		return nil
	}
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		for _, n := range []int{6, 5} {
			if len(rest) < n {
				continue
			}
			if offset, ok := parseOffset(rest[:n]); ok {
				r.offset = offset
				r.pos += n
				return nil
			}
		}
	}
	return r.fail("an offset such as +0200 is missing")
}

func (r *timeReader) epoch() error {
	negative := strings.HasPrefix(r.text[r.pos:], "-")
	if negative {
		r.pos++
	}
	text := r.digits(12) // maxTime has twelve
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return r.fail("a number of seconds is missing")
	}
	if negative {
		n = -n
	}
	if n < minTime || n > maxTime {
		return r.fail("a number of seconds outside the years 1 to 9999")
	}
	r.unix, r.isUnix = n, true
	r.pos += len(text)
	return nil
}

// time puts the fields together and refuses those that contradict each other.
func (f *timeFields) time() (time.Time, error) {
	if f.isUnix {
		return f.epochTime()
	}
	if err := f.clock(); err != nil {
		return time.Time{}, err
	}
	if err := f.date(); err != nil {
		return time.Time{}, err
	}
	t := time.Date(f.year, time.Month(f.month), f.day, f.hour, f.minute, f.second, f.nanos, time.UTC)
	if f.set['a'] && t.Weekday() != f.weekday {
		return t, fmt.Errorf("time: %s is a %s, not a %s", t.Format(time.DateOnly), t.Weekday(), f.weekday)
	}
	return t.Add(-time.Duration(f.offset) * time.Second), nil
}

// epochTime is the time of %s, which goes with a fraction and with nothing else.
func (f *timeFields) epochTime() (time.Time, error) {
	for c, set := range f.set {
		if set && c != 's' && c != 'f' {
			return time.Time{}, fmt.Errorf("time: %%s and %%%c do not go together", c)
		}
	}
	return time.Unix(f.unix, int64(f.nanos)), nil
}

// clock turns %I and %p into the hour of the day.
func (f *timeFields) clock() error {
	if f.set['I'] != f.set['p'] {
		return fmt.Errorf("time: %%I and %%p go together")
	}
	if !f.set['I'] {
		return nil
	}
	if f.set['H'] {
		return fmt.Errorf("time: %%H and %%I do not go together")
	}
	f.hour = f.hour12 % 12
	if f.afternoon {
		f.hour += 12
	}
	return nil
}

// date turns a day of the year into month and day and refuses days that the month lacks.
func (f *timeFields) date() error {
	if f.set['j'] {
		if f.set['m'] || f.set['d'] {
			return fmt.Errorf("time: %%j does not go with a month or day")
		}
		t := time.Date(f.year, 1, f.yearDay, 0, 0, 0, 0, time.UTC)
		if t.Year() != f.year {
			return fmt.Errorf("time: the year %d has no day %d", f.year, f.yearDay)
		}
		f.month, f.day = int(t.Month()), t.Day()
		return nil
	}
	if t := time.Date(f.year, time.Month(f.month), f.day, 0, 0, 0, 0, time.UTC); t.Day() != f.day {
		return fmt.Errorf("time: %s %d has no day %d", time.Month(f.month), f.year, f.day)
	}
	return nil
}
