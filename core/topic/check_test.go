package topic

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, c := range []struct {
		rule, name string
		want       error
	}{
		{"MQTT-4.7.3-1", "", errNameEmpty},
		{"MQTT-4.7.3-1", " ", nil},
		{"MQTT-4.7.3-1", "/", nil},
		{"MQTT-4.7.0-1", "sport/tennis#", errNameWildcard},
		{"MQTT-4.7.0-1", "#", errNameWildcard},
		{"MQTT-3.3.2-2", "a/+/b", errNameWildcard},
		{"MQTT-3.3.2-2", "a+", errNameWildcard},
		{"MQTT-4.7.3-2", "a\x00b", errNameNull},
		{"MQTT-4.7.3-2", "\x00", errNameNull},
		{"MQTT-4.7.3-3", strings.Repeat("a", 65535), nil},
		{"MQTT-4.7.3-3", strings.Repeat("a", 65536), errNameLong},
		{"MQTT-4.7.3-3", strings.Repeat("/", 65535), nil},
		{"4.7.3 spaces, case", "Accounts payable/ACCOUNTS", nil},
		{"4.7.2", "$SYS/broker/uptime", nil},
	} {
		if got := CheckName(c.name); got != c.want {
			t.Errorf("%s: CheckName(%.20q) = %v, want %v", c.rule, c.name, got, c.want)
		}
	}
}

func TestCheckFilter(t *testing.T) {
	for _, c := range []struct {
		rule, filter string
		want         error
	}{
		{"MQTT-4.7.3-1", "", errFilterEmpty},
		{"MQTT-4.7.3-2", "a/\x00", errFilterNull},
		{"MQTT-4.7.3-2", "$share/\x00/a", errFilterNull},
		{"MQTT-4.7.3-3", strings.Repeat("a", 65535), nil},
		{"MQTT-4.7.3-3", strings.Repeat("a", 65536), errFilterLong},
		{"MQTT-4.7.1-1", "#", nil},
		{"MQTT-4.7.1-1", "/#", nil},
		{"MQTT-4.7.1-1", "sport/tennis/player1/#", nil},
		{"MQTT-4.7.1-1", "sport/#", nil},
		{"MQTT-4.7.1-1", "sport/tennis/#", nil},
		{"MQTT-4.7.1-1", "sport/tennis#", errFilterHashOwn},
		{"MQTT-4.7.1-1", "#a", errFilterHashOwn},
		{"MQTT-4.7.1-1", "##", errFilterHashOwn},
		{"MQTT-4.7.1-1", "a/+#", errFilterPlusOwn},
		{"MQTT-4.7.1-1", "sport/tennis/#/ranking", errFilterHashEnd},
		{"MQTT-4.7.1-1", "#/", errFilterHashEnd},
		{"MQTT-4.7.1-1", "#/#", errFilterHashEnd},
		{"MQTT-4.7.1-2", "+", nil},
		{"MQTT-4.7.1-2", "+/tennis/#", nil},
		{"MQTT-4.7.1-2", "sport/+/player1", nil},
		{"MQTT-4.7.1-2", "/+", nil},
		{"MQTT-4.7.1-2", "+/+", nil},
		{"MQTT-4.7.1-2", "sport+", errFilterPlusOwn},
		{"MQTT-4.7.1-2", "+sport", errFilterPlusOwn},
		{"MQTT-4.7.1-2", "a/b+/c", errFilterPlusOwn},
		{"MQTT-4.7.1-2", "++", errFilterPlusOwn},
		{"4.7.2", "$SYS/#", nil},
		{"4.7.1.1 empty levels", "//a//", nil},
		{"MQTT-4.8.2-1", "$share/g/a", nil},
		{"MQTT-4.8.2-1", "$share/consumer1/sport/tennis/+", nil},
		{"MQTT-4.8.2-1", "$share//a", errShareGroup},
		{"MQTT-4.8.2-1", "$share/", errShareGroup},
		{"MQTT-4.8.2-1", "$share", errShareShort},
		{"MQTT-4.8.2-2", "$share/g", errShareShort},
		{"MQTT-4.8.2-2", "$share/g/", errShareFilter},
		{"MQTT-4.8.2-2", "$share/g//", nil},
		{"MQTT-4.8.2-2", "$share/g//finance", nil},
		{"MQTT-4.8.2-2", "$share/g/#", nil},
		{"MQTT-4.8.2-2", "$share/+/a", errShareLetter},
		{"MQTT-4.8.2-2", "$share/#", errShareLetter},
		{"MQTT-4.8.2-2", "$share/a#/b", errShareLetter},
		{"MQTT-4.8.2-2", "$share/g/a#", errFilterHashOwn},
		{"MQTT-4.8.2-2", "$share/g/#/a", errFilterHashEnd},
		{"MQTT-4.8.2-2", "$share/g/a+", errFilterPlusOwn},
		{"4.8.2 another mark", "$shared/+", nil},
	} {
		if got := CheckFilter(c.filter); got != c.want {
			t.Errorf("%s: CheckFilter(%.30q) = %v, want %v", c.rule, c.filter, got, c.want)
		}
	}
}

func TestSplitShare(t *testing.T) {
	for _, c := range []struct {
		filter, group, rest string
		shared              bool
	}{
		{"$share/g/a/b", "g", "a/b", true},
		{"$share/g//", "g", "/", true},
		{"$share/g/#", "g", "#", true},
		{"$share/g", "g", "", true},
		{"$share/", "", "", true},
		{"$share", "", "$share", false},
		{"$shared/g/a", "", "$shared/g/a", false},
		{"a/$share/g", "", "a/$share/g", false},
		{"", "", "", false},
	} {
		group, rest, shared := SplitShare(c.filter)
		if group != c.group || rest != c.rest || shared != c.shared {
			t.Errorf("SplitShare(%q) = %q, %q, %v", c.filter, group, rest, shared)
		}
	}
}

func TestLevels(t *testing.T) {
	for _, s := range []string{"", "a", "/", "a/b", "/a", "a/", "//", "+/#", "a//b", strings.Repeat("/", 65534)} {
		want := strings.Split(s, "/")
		if got := Levels(s); got != len(want) {
			t.Errorf("Levels(%.20q) = %d, want %d", s, got, len(want))
		}
		for i := 1; i <= min(len(want), 5); i++ {
			if got, ok := Level(s, i); !ok || got != want[i-1] {
				t.Errorf("Level(%.20q, %d) = %q, %v", s, i, got, ok)
			}
		}
		for _, i := range []int{-1, 0, len(want) + 1} {
			if got, ok := Level(s, i); ok {
				t.Errorf("Level(%.20q, %d) = %q, want none", s, i, got)
			}
		}
	}
}

func TestHasWildcard(t *testing.T) {
	for filter, want := range map[string]bool{
		"a": false, "a/b": false, "$SYS/a": false, "$share/g/a": false,
		"+": true, "#": true, "a/+": true, "a/#": true, "+/a": true, "$share/g/a/+": true,
	} {
		if got := HasWildcard(filter); got != want {
			t.Errorf("HasWildcard(%q) = %v", filter, got)
		}
	}
}

func FuzzCheckFilter(f *testing.F) {
	for _, s := range []string{"a/+/#", "$share/g/a", "$share//", "#/a", "a\x00", "+a", "$share"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := CheckFilter(s) == nil, plainCheckFilter(s); got != want {
			t.Fatalf("CheckFilter(%q) = %v, want valid %v", s, CheckFilter(s), want)
		}
		if CheckName(s) == nil && !strings.HasPrefix(s, "$share") && CheckFilter(s) != nil {
			t.Fatalf("%q is a name and no filter: %v", s, CheckFilter(s))
		}
		for i, want := range strings.Split(s, "/") {
			if got, ok := Level(s, i+1); i < 8 && (!ok || got != want) {
				t.Fatalf("Level(%q, %d) = %q, %v", s, i+1, got, ok)
			}
		}
	})
}

// plainCheckFilter is CheckFilter on a slice of levels.
func plainCheckFilter(s string) bool {
	if s == "" || len(s) > 65535 || strings.Contains(s, "\x00") {
		return false
	}
	levels := strings.Split(s, "/")
	if levels[0] == "$share" {
		if len(levels) < 3 || levels[1] == "" || strings.ContainsAny(levels[1], "+#") {
			return false
		}
		if levels = levels[2:]; len(levels) == 1 && levels[0] == "" {
			return false
		}
	}
	for i, l := range levels {
		if strings.ContainsAny(l, "+#") && len(l) > 1 || l == "#" && i+1 < len(levels) {
			return false
		}
	}
	return true
}
