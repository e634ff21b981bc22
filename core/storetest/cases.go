package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"lunamq/core"
	"lunamq/core/packet"
)

type storeCase struct {
	name    string
	batches [][]core.Op
	records int // that are left
}

func session(name string) core.Op {
	_, id, _ := strings.Cut(name, "\x00")
	return core.Op{Kind: core.PutSession, Session: name, Client: &core.StoredClient{Client: core.Client{ID: id, Protocol: packet.V5}, Expiry: 100}}
}

func message(name string, seq uint64, size int) core.Op {
	return core.Op{Kind: core.PutMessage, Session: name, Seq: seq, Queued: core.StoredMessage{
		Message: &core.Message{Topic: "t", Payload: bytes.Repeat([]byte{'x'}, size), QoS: 1}, QoS: 1, Filter: "t",
	}}
}

func state(kind core.OpKind, name string, seq uint64, id uint16) core.Op {
	return core.Op{Kind: kind, Session: name, Seq: seq, ID: id}
}

func ofLife(life uint32, op core.Op) core.Op {
	op.Life = life
	return op
}

func retained(topic, payload string) core.Op {
	return core.Op{Kind: core.PutRetained, Queued: core.StoredMessage{Message: &core.Message{Topic: topic, Payload: []byte(payload), Retain: true}}}
}

func value(bucket, key, text string) core.Op {
	return core.Op{Kind: core.PutValue, Bucket: bucket, Key: key, Value: []byte(text), ExpiresAt: 77}
}

func subscription(name, filter string) core.Op {
	return core.Op{Kind: core.PutSubscription, Session: name, Subscription: &core.StoredSubscription{Requested: filter, Filter: "x/" + filter, QoS: 2, Identifier: 9}}
}

var cases = []storeCase{
	{"nothing", nil, 0},
	{"sessions and what belongs to them", [][]core.Op{
		{session("\x00a"), session("m/\x00a"), session("\xff\x00\x00\xfe")},
		{subscription("\x00a", "#"), subscription("\x00a", "$share/g/a/+"), subscription("m/\x00a", "#")},
		{{Kind: core.PutReceived, Session: "\x00a", ID: 65535}, {Kind: core.PutReceived, Session: "\x00a", ID: 1}},
		{{Kind: core.DeleteReceived, Session: "\x00a", ID: 1}, {Kind: core.DeleteSubscription, Session: "\x00a", Subscription: &core.StoredSubscription{Requested: "#"}}},
	}, 6},
	{"messages on their way", [][]core.Op{
		{session("\x00a"), message("\x00a", 1, 10), message("\x00a", 2, 5000), message("\x00a", 3, 513), message("\x00a", 1<<40, 512)},
		{state(core.PutInflight, "\x00a", 2, 7), state(core.PutInflight, "\x00a", 1, 8)},
		{state(core.PutReleased, "\x00a", 2, 7)},
		{{Kind: core.DeleteMessage, Session: "\x00a", Seq: 1}, {Kind: core.DeleteMessage, Session: "\x00a", Seq: 3}},
	}, 4},
	{"the end of a session", [][]core.Op{
		{session("\x00a"), session("\x00b"), message("\x00a", 1, 5000), message("\x00b", 1, 5000), subscription("\x00a", "#"), {Kind: core.PutReceived, Session: "\x00a", ID: 1}},
		{{Kind: core.DeleteSession, Session: "\x00a"}},
		{message("\x00a", 2, 1), subscription("\x00a", "late"), {Kind: core.DeleteSession, Session: "\x00nobody"}},
	}, 2},
	{"a session of the same name", [][]core.Op{
		{session("\x00a"), message("\x00a", 1, 600), subscription("\x00a", "#")},
		{{Kind: core.DeleteSession, Session: "\x00a"}, session("\x00a"), subscription("\x00a", "new")},
	}, 2},
	{"an old connection's changes", [][]core.Op{
		{ofLife(1, session("\x00a")), ofLife(1, message("\x00a", 1, 600)), ofLife(1, subscription("\x00a", "#"))},
		{ofLife(1, core.Op{Kind: core.DeleteSession, Session: "\x00a"}), ofLife(2, session("\x00a")), ofLife(2, message("\x00a", 1, 600))},
		{ofLife(1, message("\x00a", 2, 1)), ofLife(1, subscription("\x00a", "late")), ofLife(1, core.Op{Kind: core.PutReceived, Session: "\x00a", ID: 1})},
		{ofLife(1, core.Op{Kind: core.DeleteMessage, Session: "\x00a", Seq: 1}), ofLife(1, core.Op{Kind: core.DeleteSession, Session: "\x00a"})},
	}, 2},
	{"a session before the end of the last", [][]core.Op{
		{ofLife(1, session("\x00a")), ofLife(1, message("\x00a", 1, 600)), ofLife(1, subscription("\x00a", "#"))},
		{ofLife(2, session("\x00a")), ofLife(2, subscription("\x00a", "new")), ofLife(1, core.Op{Kind: core.DeleteSession, Session: "\x00a"})},
	}, 2},
	{"a session that changes", [][]core.Op{
		{session("\x00a"), message("\x00a", 1, 1)},
		{{Kind: core.PutSession, Session: "\x00a", Client: &core.StoredClient{Client: core.Client{ID: "a", Username: "u", HasUsername: true}, DisconnectedAt: 5}}},
	}, 2},
	{"retained messages", [][]core.Op{
		{retained("a", "1"), retained("a/b", "2"), retained("c", strings.Repeat("large", 1000))},
		{retained("a", "3"), {Kind: core.DeleteRetained, Topic: "a/b"}, {Kind: core.DeleteRetained, Topic: "nothing"}},
	}, 2},
	{"values", [][]core.Op{
		{value("", "k", "1"), value("b", "", "2"), value("", "bk", "3"), value("b\x00", "\xff", "")},
		{value("", "k", "4"), {Kind: core.DeleteValue, Bucket: "", Key: "bk"}},
	}, 3},
	{"every field", [][]core.Op{EveryField()}, 7},
}

// EveryField returns operations in which no field has its zero value.
func EveryField() []core.Op {
	at := time.Unix(1_700_000_000, 123).UTC()
	client := core.Client{
		ID: "id", Username: "user", HasUsername: true, Remote: "1.2.3.4:5", Listener: "l", Protocol: packet.V311, ConnectedAt: at, Mount: "m/",
		TLS: &core.TLSInfo{Version: "1.3", Cipher: "c", ServerName: "s", CommonName: "cn", Subject: "su", Serial: "0a", Fingerprint: "ff"},
	}
	msg := &core.Message{
		Topic: "a/b", Payload: []byte("payload\x00\xff"), QoS: 2, Retain: true, Dup: true, Origin: core.OriginScript, Publisher: &client,
		HasPayloadFormat: true, HasExpiry: true, HasContentType: true, HasResponseTopic: true, HasCorrelationData: true, PayloadFormat: 1,
		Expiry: 1<<32 - 1, ContentType: "ct", ResponseTopic: "r/t", CorrelationData: []byte{0, 1},
		UserProperties: []packet.UserProperty{{Key: "k", Value: "v"}, {Key: "k", Value: ""}},
	}
	stored := core.StoredMessage{Message: msg, ExpiresAt: 1 << 62, QoS: 2, Retain: true, Identifiers: []uint32{1, 268_435_455}, Filter: "$share/g/a/#"}
	return []core.Op{
		{Kind: core.PutSession, Session: "m/\x00id", Client: &core.StoredClient{
			Client: client, Vars: map[string]any{"s": "text", "n": 1.5, "t": true, "f": false},
			Limits: core.Limits{PublishRate: 0.5, PublishBytes: 1e9, Inflight: 1, Queued: 2, PacketSize: 3, Subscriptions: 4},
			Expiry: 1<<32 - 1, DisconnectedAt: -5,
			Will: &core.StoredWill{Message: msg, Delay: 3, Due: 4, Reason: 0x9B, Text: "gone"},
		}},
		{Kind: core.PutSubscription, Session: "m/\x00id", Subscription: &core.StoredSubscription{
			Requested: "$share/g/a/#", Filter: "a/#", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, Identifier: 268_435_455,
		}},
		{Kind: core.PutMessage, Session: "m/\x00id", Seq: 1, Queued: stored},
		{Kind: core.PutInflight, Session: "m/\x00id", Seq: 1, ID: 65535},
		{Kind: core.PutReceived, Session: "m/\x00id", ID: 77},
		{Kind: core.PutRetained, Queued: core.StoredMessage{Message: msg, ExpiresAt: 5}},
		{Kind: core.PutValue, Bucket: "b", Key: "k", Value: []byte{0, 255}, ExpiresAt: 1},
	}
}

// History makes up what a broker commits: only what one would.
type History struct {
	rnd  *rand.Rand
	seqs map[string][]uint64 // of the messages of each session
	seq  uint64
}

// NewHistory begins one.
func NewHistory(seed uint64) *History {
	return &History{rnd: rand.New(rand.NewPCG(seed, 5)), seqs: make(map[string][]uint64)}
}

// Next is the next batch.
func (h *History) Next() (ops []core.Op) {
	for range 1 + h.rnd.IntN(4) {
		ops = append(ops, h.op())
	}
	return ops
}

func (h *History) op() core.Op {
	name := fmt.Sprintf("m\x00%d", h.rnd.IntN(4))
	seqs, there := h.seqs[name]
	if !there || h.rnd.IntN(20) == 0 {
		if there && h.rnd.IntN(2) == 0 {
			delete(h.seqs, name)
			return core.Op{Kind: core.DeleteSession, Session: name}
		}
		h.seqs[name] = seqs
		op := session(name)
		op.Client.Expiry = h.rnd.Uint32N(1000)
		return op
	}
	pick := 0
	if len(seqs) > 0 {
		pick = h.rnd.IntN(len(seqs))
	}
	switch n := h.rnd.IntN(14); {
	case n < 4 || len(seqs) == 0 && n < 8:
		h.seq++
		h.seqs[name] = append(seqs, h.seq)
		return message(name, h.seq, h.rnd.IntN(3)*h.rnd.IntN(2000))
	case n < 6:
		return state(core.PutInflight+core.OpKind(h.rnd.IntN(2)), name, seqs[pick], uint16(1+h.rnd.IntN(100)))
	case n < 8:
		op := core.Op{Kind: core.DeleteMessage, Session: name, Seq: seqs[pick]}
		h.seqs[name] = append(append([]uint64(nil), seqs[:pick]...), seqs[pick+1:]...)
		return op
	case n == 8:
		return subscription(name, fmt.Sprintf("f/%d", h.rnd.IntN(5)))
	case n == 9:
		return core.Op{Kind: core.DeleteSubscription, Session: name, Subscription: &core.StoredSubscription{Requested: fmt.Sprintf("f/%d", h.rnd.IntN(5))}}
	case n == 10:
		return core.Op{Kind: core.PutReceived + core.OpKind(h.rnd.IntN(2)), Session: name, ID: uint16(1 + h.rnd.IntN(5))}
	case n == 11:
		return retained(fmt.Sprintf("r/%d", h.rnd.IntN(5)), fmt.Sprint(h.rnd.Uint64()))
	case n == 12:
		return core.Op{Kind: core.DeleteRetained, Topic: fmt.Sprintf("r/%d", h.rnd.IntN(5))}
	}
	if h.rnd.IntN(3) == 0 {
		return core.Op{Kind: core.DeleteValue, Bucket: "b", Key: fmt.Sprint(h.rnd.IntN(5))}
	}
	return value("b", fmt.Sprint(h.rnd.IntN(5)), fmt.Sprint(h.rnd.Uint64()))
}
