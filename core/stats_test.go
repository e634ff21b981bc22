package core

import "testing"

func TestStats(t *testing.T) {
	o := DefaultOptions()
	o.SysInterval = 0
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if s := b.Stats(); s != (Stats{}) {
		t.Errorf("a new broker holds %+v", s)
	}
	for _, topic := range []string{"a", "b", "a"} {
		m := Message{Topic: topic, Payload: []byte("12345"), Retain: true, Origin: OriginScript}
		if err := b.Publish(nil, m, false); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.Stats(); s.Retained != 2 || s.RetainedBytes < 10 || s.Sessions != 0 || s.Queued != 0 {
		t.Errorf("with two retained messages: %+v", s)
	}
	before := b.Stats().RetainedBytes
	b.keepRetained(&Message{Topic: "$SYS/x", Payload: []byte("12345"), Origin: OriginBroker})
	if s := b.Stats(); s.Retained != 3 || s.RetainedBytes <= before {
		t.Errorf("with one of the broker's own, and %d bytes before it: %+v", before, s)
	}
	b.unretain("$SYS/x")
	if s := b.Stats(); s.Retained != 2 || s.RetainedBytes != before {
		t.Errorf("without it again: %+v, want %d bytes", s, before)
	}
}
