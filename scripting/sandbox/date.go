package sandbox

import (
	"fmt"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// maxDateFormat bounds os.date; each directive adds some 30 bytes at most.
const maxDateFormat = 256

func osDate(L *lua.LState) int {
	format := "%c"
	if L.Get(1) != lua.LNil {
		format = checkText(L, 1)
	}
	if len(format) > maxDateFormat {
		argError(L, 1, "format is too long")
	}
	t := meterOf(L).world.limits.Now()
	if L.Get(2) != lua.LNil {
		t = time.Unix(checkInteger(L, 2), 0)
	}
	if utc, ok := strings.CutPrefix(format, "!"); ok {
		format, t = utc, t.UTC()
	}
	if strings.HasPrefix(format, "*t") {
		L.Push(dateTable(t))
		return 1
	}
	L.Push(lua.LString(appendDate(nil, t, format)))
	return 1
}

// dateLayouts are the directives of C's strftime (C99 7.23.3.5, locale "C") as layouts of Go.
var dateLayouts = [256]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006",
	'd': "02", 'D': "01/02/06", 'e': "_2", 'F': "2006-01-02", 'h': "Jan", 'H': "15", 'I': "03",
	'j': "002", 'm': "01", 'M': "04", 'p': "PM", 'R': "15:04", 'S': "05", 'T': "15:04:05",
	'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
}

// appendDate writes t as strftime does; what is no directive stays as it is.
func appendDate(out []byte, t time.Time, format string) []byte {
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 || i+1 == len(format) {
			return append(out, format...)
		}
		out = append(out, format[:i]...)
		c := format[i+1]
		switch layout := dateLayouts[c]; {
		case layout != "":
			out = t.AppendFormat(out, layout)
		case c == 'w':
			out = append(out, '0'+byte(t.Weekday()))
		case c == 'U': // weeks begin on Sunday
			out = fmt.Appendf(out, "%02d", (t.YearDay()+6-int(t.Weekday()))/7)
		case c == 'W': // on Monday
			out = fmt.Appendf(out, "%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7)
		case c == '%':
			out = append(out, '%')
		default:
			out = append(out, format[i:i+2]...)
		}
		format = format[i+2:]
	}
}

func dateTable(t time.Time) *lua.LTable {
	d := newTable()
	for _, f := range []struct {
		name  string
		value int
	}{
		{"year", t.Year()}, {"month", int(t.Month())}, {"day", t.Day()},
		{"hour", t.Hour()}, {"min", t.Minute()}, {"sec", t.Second()},
		{"wday", int(t.Weekday()) + 1}, {"yday", t.YearDay()},
	} {
		d.RawSetString(f.name, lua.LNumber(f.value))
	}
	d.RawSetString("isdst", lua.LBool(t.IsDST()))
	return d
}
