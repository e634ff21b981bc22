package disk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"lunamq/core"
	"lunamq/core/packet"
)

// Line is one line of an export: one operation, as JSON.
type Line struct {
	Op           string            `json:"op"`
	Session      text              `json:"session,omitempty"`
	Client       *lineClient       `json:"client,omitempty"`
	State        *lineSession      `json:"state,omitempty"`
	Subscription *lineSubscription `json:"subscription,omitempty"`
	Seq          uint64            `json:"seq,omitempty"`
	ID           uint16            `json:"id,omitempty"`
	Message      *lineMessage      `json:"message,omitempty"`
	Bucket       text              `json:"bucket,omitempty"`
	Key          text              `json:"key,omitempty"`
	Value        text              `json:"value,omitempty"`
	ExpiresAt    int64             `json:"expires_at,omitempty"` // unix nanoseconds
}

// text is a string that JSON holds as it is, or as {"base64": …} where it is no UTF-8.
type text string

type encodedText struct {
	Base64 []byte `json:"base64"`
}

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(encodedText{[]byte(t)})
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var e encodedText
		err := json.Unmarshal(b, &e)
		*t = text(e.Base64)
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}

type lineClient struct {
	ID          text          `json:"id"`
	Username    *text         `json:"username,omitempty"`
	Remote      string        `json:"remote,omitempty"`
	Listener    string        `json:"listener,omitempty"`
	Protocol    byte          `json:"protocol,omitempty"`
	Mount       text          `json:"mount,omitempty"`
	ConnectedAt int64         `json:"connected_at,omitempty"` // unix nanoseconds
	TLS         *core.TLSInfo `json:"tls,omitempty"`
}

type lineSession struct {
	Vars           map[string]any `json:"vars,omitempty"`
	Limits         core.Limits    `json:"limits"`
	Expiry         uint32         `json:"expiry"`
	DisconnectedAt int64          `json:"disconnected_at,omitempty"`
	Will           *lineWill      `json:"will,omitempty"`
}

type lineWill struct {
	Message *lineMessage `json:"message"`
	Delay   uint32       `json:"delay,omitempty"`
	Due     int64        `json:"due,omitempty"`
	Reason  byte         `json:"reason,omitempty"`
	Text    text         `json:"text,omitempty"`
}

type lineSubscription struct {
	Requested         text   `json:"requested"`
	Filter            text   `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"no_local,omitempty"`
	RetainAsPublished bool   `json:"retain_as_published,omitempty"`
	RetainHandling    byte   `json:"retain_handling,omitempty"`
	Identifier        uint32 `json:"identifier,omitempty"`
}

type lineMessage struct {
	Topic           text        `json:"topic"`
	Payload         text        `json:"payload"`
	QoS             byte        `json:"qos"`
	Retain          bool        `json:"retain,omitempty"`
	Dup             bool        `json:"dup,omitempty"`
	Origin          byte        `json:"origin"`
	Publisher       *lineClient `json:"publisher,omitempty"`
	PayloadFormat   *byte       `json:"payload_format,omitempty"`
	Expiry          *uint32     `json:"expiry,omitempty"`
	ContentType     *text       `json:"content_type,omitempty"`
	ResponseTopic   *text       `json:"response_topic,omitempty"`
	CorrelationData *text       `json:"correlation_data,omitempty"`
	UserProperties  [][2]text   `json:"user_properties,omitempty"`

	// as its receiver has it:
	ExpiresAt   int64    `json:"expires_at,omitempty"`
	SendQoS     byte     `json:"send_qos,omitempty"`
	SendRetain  bool     `json:"send_retain,omitempty"`
	Identifiers []uint32 `json:"identifiers,omitempty"`
	Filter      text     `json:"filter,omitempty"`
}

// opNames are the operations that Load hands out, as an export names them.
var opNames = map[core.OpKind]string{
	core.PutSession: "session", core.PutSubscription: "subscription", core.PutMessage: "message", core.PutInflight: "inflight",
	core.PutReleased: "released", core.PutReceived: "received", core.PutRetained: "retained", core.PutValue: "value",
}

var opKinds = func() map[string]core.OpKind {
	kinds := make(map[string]core.OpKind)
	for kind, name := range opNames {
		kinds[name] = kind
	}
	return kinds
}()

// LineOf writes an operation as Store.All hands it out.
func LineOf(op core.Op) Line {
	l := Line{
		Op: opNames[op.Kind], Session: text(op.Session), Seq: op.Seq, ID: op.ID,
		Bucket: text(op.Bucket), Key: text(op.Key), Value: text(op.Value), ExpiresAt: op.ExpiresAt,
	}
	if c := op.Client; c != nil {
		l.Client = lineClientOf(&c.Client)
		l.State = &lineSession{Vars: c.Vars, Limits: c.Limits, Expiry: c.Expiry, DisconnectedAt: c.DisconnectedAt}
		if w := c.Will; w != nil {
			l.State.Will = &lineWill{lineMessageOf(core.StoredMessage{Message: w.Message}), w.Delay, w.Due, byte(w.Reason), text(w.Text)}
		}
	}
	if s := op.Subscription; s != nil {
		l.Subscription = &lineSubscription{text(s.Requested), text(s.Filter), s.QoS, s.NoLocal, s.RetainAsPublished, s.RetainHandling, s.Identifier}
	}
	if op.Queued.Message != nil {
		l.Message = lineMessageOf(op.Queued)
	}
	return l
}

func lineClientOf(c *core.Client) *lineClient {
	if c == nil {
		return nil
	}
	l := &lineClient{ID: text(c.ID), Remote: c.Remote, Listener: c.Listener, Protocol: byte(c.Protocol), Mount: text(c.Mount), TLS: c.TLS}
	l.Username = given(c.HasUsername, text(c.Username))
	if !c.ConnectedAt.IsZero() {
		l.ConnectedAt = c.ConnectedAt.UnixNano()
	}
	return l
}

// given is a value that is there, or nil.
func given[T any](has bool, value T) *T {
	if !has {
		return nil
	}
	return &value
}

func lineMessageOf(m core.StoredMessage) *lineMessage {
	x := m.Message
	l := &lineMessage{
		Topic: text(x.Topic), Payload: text(x.Payload), QoS: x.QoS, Retain: x.Retain, Dup: x.Dup, Origin: byte(x.Origin), Publisher: lineClientOf(x.Publisher),
		PayloadFormat: given(x.HasPayloadFormat, x.PayloadFormat), Expiry: given(x.HasExpiry, x.Expiry), ContentType: given(x.HasContentType, text(x.ContentType)),
		ResponseTopic: given(x.HasResponseTopic, text(x.ResponseTopic)), CorrelationData: given(x.HasCorrelationData, text(x.CorrelationData)),
		ExpiresAt: m.ExpiresAt, SendQoS: m.QoS, SendRetain: m.Retain, Identifiers: m.Identifiers, Filter: text(m.Filter),
	}
	for _, p := range x.UserProperties {
		l.UserProperties = append(l.UserProperties, [2]text{text(p.Key), text(p.Value)})
	}
	return l
}

// ParseLine reads a line back, strictly.
func ParseLine(text []byte) (core.Op, error) {
	var l Line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return core.Op{}, err
	}
	return l.operation()
}

func (l *Line) operation() (core.Op, error) {
	kind, ok := opKinds[l.Op]
	op := core.Op{
		Kind: kind, Session: string(l.Session), Seq: l.Seq, ID: l.ID,
		Bucket: string(l.Bucket), Key: string(l.Key), ExpiresAt: l.ExpiresAt,
	}
	switch {
	case !ok:
		return op, fmt.Errorf("the operation %q is none", l.Op)
	case kind == core.PutSession && (l.Client == nil || l.State == nil || l.State.Will != nil && l.State.Will.Message == nil):
		return op, fmt.Errorf("a session without its client or state")
	case kind == core.PutSubscription && l.Subscription == nil:
		return op, fmt.Errorf("a subscription without its fields")
	case (kind == core.PutMessage || kind == core.PutRetained) && l.Message == nil:
		return op, fmt.Errorf("a message without its fields")
	case len(l.Bucket) > 1<<16-1:
		return op, fmt.Errorf("the name of a bucket has %d bytes", len(l.Bucket))
	}
	switch kind {
	case core.PutSession:
		op.Client = l.State.client(l.Client)
	case core.PutSubscription:
		s := l.Subscription
		op.Subscription = &core.StoredSubscription{
			Requested: string(s.Requested), Filter: string(s.Filter), QoS: s.QoS, NoLocal: s.NoLocal,
			RetainAsPublished: s.RetainAsPublished, RetainHandling: s.RetainHandling, Identifier: s.Identifier,
		}
	case core.PutMessage, core.PutRetained:
		op.Queued = l.Message.stored()
	case core.PutValue:
		op.Value = []byte(l.Value)
	}
	return op, checkOp(&op)
}

// checkOp refuses what the store could not read again.
func checkOp(op *core.Op) error {
	if m := op.Queued; m.Message != nil && (m.QoS > 2 || m.Message.QoS > 2 || m.Message.Origin > core.OriginBroker) {
		return fmt.Errorf("a message with QoS %d and origin %d", m.Message.QoS, m.Message.Origin)
	}
	if s := op.Subscription; s != nil && (s.QoS > 2 || s.RetainHandling > 2) {
		return fmt.Errorf("a subscription with QoS %d and retain handling %d", s.QoS, s.RetainHandling)
	}
	if c := op.Client; c != nil && c.Will != nil && (c.Will.Message.QoS > 2 || c.Will.Message.Origin > core.OriginBroker) {
		return fmt.Errorf("a will with QoS %d", c.Will.Message.QoS)
	}
	return nil
}

func (s *lineSession) client(c *lineClient) *core.StoredClient {
	out := &core.StoredClient{Client: *c.client(), Vars: s.Vars, Limits: s.Limits, Expiry: s.Expiry, DisconnectedAt: s.DisconnectedAt}
	if w := s.Will; w != nil {
		out.Will = &core.StoredWill{Message: w.Message.stored().Message, Delay: w.Delay, Due: w.Due, Reason: packet.ReasonCode(w.Reason), Text: string(w.Text)}
	}
	return out
}

func (l *lineClient) client() *core.Client {
	if l == nil {
		return nil
	}
	c := &core.Client{ID: string(l.ID), Remote: l.Remote, Listener: l.Listener, Protocol: packet.Version(l.Protocol), Mount: string(l.Mount), TLS: l.TLS}
	if l.Username != nil {
		c.HasUsername, c.Username = true, string(*l.Username)
	}
	if l.ConnectedAt != 0 {
		c.ConnectedAt = time.Unix(0, l.ConnectedAt)
	}
	return c
}

func (l *lineMessage) stored() core.StoredMessage {
	x := &core.Message{
		Topic: string(l.Topic), Payload: []byte(l.Payload), QoS: l.QoS, Retain: l.Retain, Dup: l.Dup, Origin: core.Origin(l.Origin), Publisher: l.Publisher.client(),
	}
	x.HasPayloadFormat, x.PayloadFormat = taken(l.PayloadFormat)
	x.HasExpiry, x.Expiry = taken(l.Expiry)
	x.HasContentType, x.ContentType = takenText(l.ContentType)
	x.HasResponseTopic, x.ResponseTopic = takenText(l.ResponseTopic)
	var data string
	x.HasCorrelationData, data = takenText(l.CorrelationData)
	x.CorrelationData = []byte(data)
	for _, p := range l.UserProperties {
		x.UserProperties = append(x.UserProperties, packet.UserProperty{Key: string(p[0]), Value: string(p[1])})
	}
	return core.StoredMessage{Message: x, ExpiresAt: l.ExpiresAt, QoS: l.SendQoS, Retain: l.SendRetain, Identifiers: l.Identifiers, Filter: string(l.Filter)}
}

// taken is the reverse of given.
func taken[T any](p *T) (has bool, value T) {
	if p == nil {
		return false, value
	}
	return true, *p
}

func takenText(p *text) (bool, string) {
	has, t := taken(p)
	return has, string(t)
}
