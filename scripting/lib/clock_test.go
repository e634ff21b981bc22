package lib

import (
	"math"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no zone files
)

// noon is 2024-02-29T12:05:09.25Z, a Thursday, the 60th day.
const noon = 1709208309.25

func TestFormat(t *testing.T) {
	tests := []struct {
		t                  float64
		layout, zone, want string
	}{
		{0, "", "", "1970-01-01T00:00:00Z"},
		{noon, "", "", "2024-02-29T12:05:09.25Z"},
		{noon, "rfc3339", "+02:00", "2024-02-29T14:05:09.25+02:00"},
		{noon, "rfc3339", "Europe/Berlin", "2024-02-29T13:05:09.25+01:00"},
		{noon, "rfc3339", "-0330", "2024-02-29T08:35:09.25-03:30"},
		{-0.5, "", "UTC", "1969-12-31T23:59:59.5Z"},
		{1.9999999, "", "", "1970-01-01T00:00:02Z"},
		{0.1 + 0.2, "", "", "1970-01-01T00:00:00.3Z"},
		{minTime, "", "", "0001-01-01T00:00:00Z"},
		{maxTime, "", "", "9999-12-31T23:59:59Z"},
		{noon, "date", "", "2024-02-29"},
		{noon, "date", "+13:00", "2024-03-01"},
		{noon, "time", "", "12:05:09.25"},
		{0, "time", "", "00:00:00"},
		{noon, "unix", "Asia/Tokyo", "1709208309.25"},
		{-1.5, "unix", "", "-1.5"}, {-0.5, "unix", "", "-0.5"}, {3, "unix", "", "3"},
		{noon, "%Y-%m-%dT%H:%M:%S.%f%z", "", "2024-02-29T12:05:09.250000+0000"},
		{noon, "%a %A %b %h %B %y %e %I %p %j", "", "Thu Thursday Feb Feb February 24 29 12 PM 060"},
		{noon - 43200, "%I %p|%e", "-10:00", "02 PM|28"},
		{0, "[%e] %j %I%p", "", "[ 1] 001 12AM"},
		{noon, "%F %T %R %D %s %u %w %G-W%V", "", "2024-02-29 12:05:09 12:05 02/29/24 1709208309 4 4 2024-W09"},
		{1704067200 - 86400, "%u%w", "", "70"}, // a Sunday
		{noon, "%z %Z", "Europe/Berlin", "+0100 CET"},
		{noon, "%Z", "-03:30", "-03:30"},
		{noon, "%Z", "", "UTC"},
		{noon, "é%n%t%%", "", "é\n\t%"},
		{noon, "2006 Jan %Y", "", "2006 Jan 2024"}, // no layout of Go
	}
	for _, tt := range tests {
		if got, err := Format(tt.t, tt.layout, tt.zone); got != tt.want || err != nil {
			t.Errorf("Format(%v, %q, %q) = %q, %v; want %q", tt.t, tt.layout, tt.zone, got, err, tt.want)
		}
	}
	if got, err := Format(noon, "", "local"); err != nil || !strings.HasPrefix(got, "2024-0") {
		t.Errorf("local: %q, %v", got, err)
	}
}

func TestFormatErrors(t *testing.T) {
	tests := []struct {
		t                  float64
		layout, zone, want string
	}{
		{math.NaN(), "", "", "NaN is outside"}, {math.Inf(1), "", "", "+Inf is outside"}, {math.Inf(-1), "", "", "-Inf is outside"},
		{minTime - 1, "", "", "outside the years"}, {maxTime + 1, "", "", "outside the years"}, {1e300, "", "", "outside the years"},
		{maxTime, "", "+00:01", "the year 10000"}, {minTime, "", "-00:01", "the year 0"},
		{0, "rfc822", "", `no layout "rfc822"`}, {0, "RFC3339", "", "no layout"}, {0, strings.Repeat("%A", 200), "", "a layout of 400 bytes"},
		{0, "%", "", "lone %"}, {0, "%Y%", "", "lone %"}, {0, "%Q", "", `"%Q" cannot be written`}, {0, "%-d", "", `"%-" cannot`}, {0, "%\xff", "", "cannot"},
		{0, "", "Mars/Phobos", `no zone "Mars/Phobos"`}, {0, "", "../../etc/passwd", "no zone"}, {0, "", "/etc/localtime", "no zone"}, {0, "", "Local", "no zone"},
		{0, "", strings.Repeat("A", 5000), "no zone"},
		{0, "", "+2", "no offset"}, {0, "", "+24:00", "no offset"}, {0, "", "+02:60", "no offset"}, {0, "", "-", "no offset"}, {0, "", "+0a:00", "no offset"}, {0, "", "+02-00", "no offset"},
	}
	for _, tt := range tests {
		got, err := Format(tt.t, tt.layout, tt.zone)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 200 {
			t.Errorf("Format(%v, %.20q, %.20q) = %q, %v; want an error with %q", tt.t, tt.layout, tt.zone, got, err, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	const day = 1709164800 // 2024-02-29T00:00:00Z
	tests := []struct {
		s, layout string
		want      float64
	}{
		{"1970-01-01T00:00:00Z", "", 0},
		{"2024-02-29T12:05:09.25Z", "", noon},
		{"2024-02-29T14:05:09.25+02:00", "rfc3339", noon},
		{"0001-01-01T00:00:00Z", "", minTime},
		{"2024-02-29", "date", day},
		{"12:05:09", "time", 43509}, {"12:05:09.25", "time", 43509.25}, {"00:00:00", "time", 0},
		{"0", "unix", 0}, {"-1.5", "unix", -1.5}, {"1709208309.25", "unix", noon},
		{"2024-02-29T12:05:09.250000+0000", "%Y-%m-%dT%H:%M:%S.%f%z", noon},
		{"2024-02-29 12:05", "%F %R", day + 43500},
		{"29 Feb 2024", "%d %b %Y", day}, {"29 FEBRUARY 2024", "%d %B %Y", day}, {"thu 2/29/24", "%a %D", day}, {"Thursday, 29.2.2024", "%A, %d.%m.%Y", day},
		{"2024-060", "%Y-%j", day}, {"2024-366", "%Y-%j", day + 306*86400},
		{" 1.03.2024", "%e.%m.%Y", day + 86400}, {"1.3.2024", "%e.%m.%Y", day + 86400}, {"10.3.2024", "%e.%m.%Y", day + 10*86400},
		{"12 AM", "%I %p", 0}, {"12 pm", "%I %p", 43200}, {"11pm", "%I%p", 82800}, {"1 AM", "%I %p", 3600},
		{"69", "%y", -31536000}, {"68", "%y", 3092601600},
		{"00:00+0530", "%R%z", -19800}, {"00:00-05:30", "%R%z", 19800}, {"00:00Z", "%R%z", 0},
		{"1709208309.25", "%s.%f", noon}, {"-5", "%s", -5},
		{"0.000000001", "%S.%f", 1e-9},
		{"100%\n\té", "%y0%%%n%té", 946684800 + 10*365.25*86400 + 0.5*86400},
	}
	for _, tt := range tests {
		if got, err := Parse(tt.s, tt.layout); got != tt.want || err != nil {
			t.Errorf("Parse(%q, %q) = %v, %v; want %v", tt.s, tt.layout, got, err, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ s, layout, want string }{
		{"", "", "not RFC 3339"}, {"2024-02-30T00:00:00Z", "", "not RFC 3339"}, {"2024-02-29 00:00:00Z", "", "not RFC 3339"}, {"2024-02-29T00:00:00", "", "not RFC 3339"},
		{"2024-02-29T0:00:00Z", "", "not RFC 3339"}, {"2024-02-29T00:00:00,5Z", "", "not RFC 3339"}, {"2024-02-29T24:00:00Z", "", "not RFC 3339"}, {"2024-02-29T00:00:00Zx", "", "not RFC 3339"}, {"2024-02-29T00:00:00+24:00", "", "not RFC 3339"}, {"2024-02-29T00:00:00+0200", "", "not RFC 3339"}, {"2024-02-29T00:00:00+02:60", "", "not RFC 3339"}, {"2024-02-29t00:00:00Z", "", "not RFC 3339"},
		{"0000-01-01T00:00:00Z", "", "outside the years"}, {"0001-01-01T00:00:00+01:00", "", "outside the years"}, {"9999-12-31T23:59:59-01:00", "", "outside the years"},
		{"2024-2-29", "date", "does not fit"}, {"2023-02-29", "date", "does not fit"}, {"0000-01-01", "date", "outside the years"}, {"2024-02-29.5", "date", "does not fit"},
		{"1:02:03", "time", "does not fit"}, {"12:05:09,25", "time", "does not fit"}, {"12:05:09.", "time", "does not fit"}, {"12:05:60", "time", "does not fit"}, {"24:00:00", "time", "does not fit"}, {"12:05:09.1234567890", "time", "does not fit"},
		{"", "unix", "not a number"}, {"1e9", "unix", "not a number"}, {"0x10", "unix", "not a number"}, {"+1", "unix", "not a number"}, {"1.", "unix", "not a number"}, {".5", "unix", "not a number"}, {"--1", "unix", "not a number"}, {"inf", "unix", "not a number"},
		{"253402300800", "unix", "outside the years"}, {strings.Repeat("9", 400), "unix", "outside the years"}, {strings.Repeat("9", 600), "unix", "a text of 600 bytes"},
		{"2024", "year", `no layout "year"`}, {"2024", "%Y%", "lone %"}, {"x", "%Q", "cannot be read"}, {"9", "%V", "cannot be read"}, {"UTC", "%Z", "cannot be read"},
		{"2024x", "%Y", "more text than the layout has at offset 4"}, {"20240", "%Y", "more text"}, {"2024", "%Y-", `"-" is missing at offset 4`}, {"2024/01", "%Y-%m", `"-" is missing at offset 4`},
		{"224", "%Y", "four digits"}, {"0000", "%Y", "%Y wants 1 to 9999"}, {"", "%Y", "four digits"}, {"+024", "%Y", "four digits"},
		{"13", "%m", "%m wants 1 to 12 at offset 0"}, {"0", "%m", "wants 1"}, {"", "%m", "wants 1"}, {"x", "%d", "wants 1"}, {"32", "%d", "wants"}, {"24", "%H", "wants 0 to 23"}, {"60", "%M", "wants"}, {"60", "%S", "wants"}, {"367", "%j", "wants"}, {"0", "%I", "wants"}, {" ", "%e", "wants"}, {"-1", "%d", "wants"},
		{"2023-02-29", "%F", "February 2023 has no day 29"}, {"31.4.2024", "%d.%m.%Y", "April 2024 has no day 31"}, {"2023-366", "%Y-%j", "2023 has no day 366"},
		{"Wed 2024-02-29", "%a %F", "is a Thursday, not a Wednesday"}, {"Foo", "%b", "a name such as Jan is missing"}, {"Foo", "%A", "a name such as Sunday"}, {"xm", "%p", "a name such as AM"},
		{"11", "%I", "%I and %p go together"}, {"AM", "%p", "%I and %p go together"}, {"11 11 AM", "%H %I %p", "%H and %I"}, {"060 2", "%j %m", "%j does not go"},
		{"1 1", "%d %d", "gives %d twice"}, {"1 1", "%d %e", "gives %d twice"}, {"1 Jan", "%m %b", "gives %m twice"}, {"2024 24", "%Y %y", "gives %Y twice"},
		{"", "%f", "fraction are missing"}, {"1234567890", "%f", "more text"}, {"x", "%z", "an offset such as"}, {"+1", "%z", "an offset"}, {"+2500", "%z", "an offset"},
		{"", "%s", "number of seconds is missing"}, {"--1", "%s", "number of seconds is missing"}, {"999999999999", "%s", "outside the years"}, {"5 1", "%s %H", "%s and %H"},
	}
	for _, tt := range tests {
		got, err := Parse(tt.s, tt.layout)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "time: ") || len(err.Error()) > 250 {
			t.Errorf("Parse(%.20q, %q) = %v, %v; want an error with %q", tt.s, tt.layout, got, err, tt.want)
		}
	}
}

// What Format writes Parse reads, to the microsecond.
func TestFormatParse(t *testing.T) {
	for _, layout := range []string{"", "unix", "%Y-%m-%d %H:%M:%S.%f %z", "%j %Y %I:%M:%S %p %f", "%A %e %B %Y %T.%f", "%s.%f", "%a %b %d %T %Y %f"} {
		for _, at := range []float64{0, noon, 1e9 + 0.000001, 951782400, 1735689599.999999, 253402300799} {
			s, err := Format(at, layout, "")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Parse(s, layout); math.Abs(got-at) > 5e-7 || err != nil {
				t.Errorf("%q: %v became %q and %v, %v", layout, at, s, got, err)
			}
		}
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("2024-02-29T12:05:09.25Z", "")
	f.Add("Thu 29 Feb 2024 11:05 PM +0200", "%a %d %b %Y %I:%M %p %z")
	f.Add("12:05:09.5", "time")
	f.Add("1709208309.25", "%s.%f")
	f.Fuzz(func(t *testing.T, s, layout string) {
		at, err := Parse(s, layout)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "time: ") {
				t.Errorf("error %q", err)
			}
			return
		}
		text, err := Format(math.Min(at, maxTime), "", "")
		if err != nil {
			t.Fatalf("Parse(%q, %q) = %v, which cannot be written: %v", s, layout, at, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

func FuzzFormatTime(f *testing.F) {
	f.Add(noon, "%Y %z %Z", "Europe/Berlin")
	f.Add(-0.5, "", "+02:00")
	f.Fuzz(func(t *testing.T, at float64, layout, zone string) {
		s, err := Format(at, layout, zone)
		if err == nil && len(s) > 64+13*len(layout) {
			t.Errorf("%d bytes for a layout of %d", len(s), len(layout))
		}
	})
}
