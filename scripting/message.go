package scripting

import (
	"errors"
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"lunamq/core"
	"lunamq/core/topic"
)

// messageFields are the fields of a message, in whatever event it comes. What
// is assigned is validated as strictly as a PUBLISH off the wire (3.3).
var messageFields = fields[core.Message]{
	"topic": {
		doc: "string: the topic name",
		get: func(c *call, m *core.Message) lua.LValue { return c.name(m.Topic) },
		set: func(c *call, m *core.Message, x lua.LValue) error {
			s, err := c.toTopic(x)
			if err == nil && c.isOfClient(m) && isSys(s) {
				err = fmt.Errorf("cannot be %q: $SYS is the broker's own", clip(s))
			}
			if err == nil {
				m.Topic = s
			}
			return err
		},
	},
	"level": {
		doc: "lunamq.Levels: the levels of the topic; level[1] is the first",
		get: func(c *call, m *core.Message) lua.LValue { return part(c, levelKind, (*levels)(m)) },
	},
	"payload": {
		doc: "string: the payload, as bytes",
		get: func(c *call, m *core.Message) lua.LValue {
			c.chargeBytes(len(m.Payload))
			return lua.LString(m.Payload)
		},
		set: func(c *call, m *core.Message, x lua.LValue) error {
			s, err := toBytes(x)
			if err == nil {
				c.chargeBytes(len(s))
				m.Payload = []byte(s)
			}
			return err
		},
	},
	"qos": {
		doc: "0|1|2: the quality of service",
		get: func(_ *call, m *core.Message) lua.LValue { return number(m.QoS) },
		set: func(_ *call, m *core.Message, x lua.LValue) error {
			n, err := toInteger(x, 0, 2)
			if err == nil {
				m.QoS = byte(n)
			}
			return err
		},
	},
	"retain": {
		doc: "boolean: whether the message is to be retained",
		get: func(_ *call, m *core.Message) lua.LValue { return boolean(m.Retain) },
		set: func(_ *call, m *core.Message, x lua.LValue) error {
			b, err := toBool(x)
			if err == nil {
				m.Retain = b
			}
			return err
		},
	},
	"dup": {
		doc: "boolean: whether the sender marked it as sent before",
		get: func(_ *call, m *core.Message) lua.LValue { return boolean(m.Dup) },
	},
	"expiry": {
		doc: "integer?: seconds until nobody gets it any more; nil for never",
		get: func(_ *call, m *core.Message) lua.LValue {
			if !m.HasExpiry {
				return lua.LNil
			}
			return number(m.Expiry)
		},
		set: func(_ *call, m *core.Message, x lua.LValue) (err error) {
			n := 0.0
			if x != lua.LNil {
				if n, err = toInteger(x, 0, math.MaxUint32); err != nil { // 3.3.2.3.3: four byte integer, seconds
					return err
				}
			}
			m.HasExpiry, m.Expiry = x != lua.LNil, uint32(n)
			return nil
		},
	},
	"content_type": {
		doc: "string?: what the payload is, such as application/json",
		get: func(c *call, m *core.Message) lua.LValue {
			if !m.HasContentType {
				return lua.LNil
			}
			return c.text(m.ContentType)
		},
		set: func(_ *call, m *core.Message, x lua.LValue) (err error) {
			s := ""
			if x != lua.LNil {
				if s, err = toText(x); err != nil { // [MQTT-3.3.2-19]
					return err
				}
			}
			m.HasContentType, m.ContentType = x != lua.LNil, s
			return nil
		},
	},
	"payload_format": {
		doc: "integer?: 1 if the payload is UTF-8 text, 0 or nil if it is bytes",
		get: func(_ *call, m *core.Message) lua.LValue {
			if !m.HasPayloadFormat {
				return lua.LNil
			}
			return number(m.PayloadFormat)
		},
		set: func(_ *call, m *core.Message, x lua.LValue) (err error) {
			n := 0.0
			if x != lua.LNil {
				if n, err = toInteger(x, 0, 1); err != nil { // 3.3.2.3.2: 0 bytes, 1 UTF-8
					return err
				}
			}
			m.HasPayloadFormat, m.PayloadFormat = x != lua.LNil, byte(n)
			return nil
		},
	},
	"response_topic": {
		doc: "string?: where an answer is to be published",
		get: func(c *call, m *core.Message) lua.LValue {
			if !m.HasResponseTopic {
				return lua.LNil
			}
			return c.name(m.ResponseTopic)
		},
		set: func(_ *call, m *core.Message, x lua.LValue) (err error) {
			s := ""
			if x != lua.LNil {
				if s, err = toTopic(x); err != nil { // [MQTT-3.3.2-14]
					return err
				}
			}
			m.HasResponseTopic, m.ResponseTopic = x != lua.LNil, s
			return nil
		},
	},
	"correlation_data": {
		doc: "string?: what an answer is to carry, as bytes",
		get: func(c *call, m *core.Message) lua.LValue {
			if !m.HasCorrelationData {
				return lua.LNil
			}
			c.chargeBytes(len(m.CorrelationData))
			return lua.LString(m.CorrelationData)
		},
		set: func(_ *call, m *core.Message, x lua.LValue) (err error) {
			s := ""
			if x != lua.LNil {
				if s, err = toBinary(x); err != nil {
					return err
				}
			}
			m.HasCorrelationData, m.CorrelationData = x != lua.LNil, []byte(s)
			return nil
		},
	},
	"user_properties": {
		doc: "lunamq.UserProperties: names and values, in order; names may repeat",
		get: func(c *call, m *core.Message) lua.LValue {
			return part(c, propertiesKind, (*properties)(&m.UserProperties))
		},
		set: func(_ *call, m *core.Message, x lua.LValue) error {
			list, err := toProperties(x)
			if err == nil {
				m.UserProperties = list
			}
			return err
		},
	},
}

// lostMessageFields are those of a message that nothing can be done about any more.
var lostMessageFields = join(readOnly(messageFields), fields[core.Message]{
	"user_properties": {
		doc: "lunamq.UserProperties: names and values, in order; names may repeat",
		get: func(c *call, m *core.Message) lua.LValue {
			return part(c, lentPropertiesKind, (*lentProperties)(&m.UserProperties))
		},
	},
})

// messageKind is a message that is not itself an event: the will of a CONNECT.
var messageKind = newKind(kind[core.Message]{name: "message", fields: messageFields})

// toTopic is toTopic for what is to be sent.
func (c *call) toTopic(x lua.LValue) (string, error) {
	s, err := toTopic(x)
	if err == nil {
		err = c.checkLevels(s)
	}
	return s, err
}

// checkLevels bounds the levels of topic names and filters ([limits] topic_levels).
func (c *call) checkLevels(s string) error {
	if n, most := topic.Levels(s), c.world.generation.engine.options.TopicLevels; n > most {
		return fmt.Errorf("has %d levels, at most %d are served ([limits] topic_levels)", n, most)
	}
	return nil
}

// isOfClient says that m, which a handler changes, is what a client publishes, or
// its will.
func (c *call) isOfClient(m *core.Message) bool {
	switch c.kind.info().name {
	case "publish", "will", "connect":
		return m.Origin == core.OriginClient || m.Origin == core.OriginWill
	}
	return false
}

func isSys(name string) bool { return name == "$SYS" || strings.HasPrefix(name, "$SYS/") }

// toTopic wants a topic name [MQTT-3.3.2-1], [MQTT-3.3.2-2].
func toTopic(x lua.LValue) (string, error) {
	s, err := toText(x)
	if err != nil {
		return "", err
	}
	if err := topic.CheckName(s); err != nil {
		return "", fmt.Errorf("cannot be %q: %w", clip(s), err)
	}
	return s, nil
}

// levels shows the levels of a message's topic: msg.level[i], #msg.level.
type levels core.Message

var levelKind = newKind(kind[levels]{
	name: "level",
	index: func(c *call, v *levels, key lua.LValue) (lua.LValue, error) {
		i, ok := key.(lua.LNumber)
		if !ok {
			return nil, fmt.Errorf("level is indexed by a number, 1 for the topic's first level, not by %s", describe(key))
		}
		c.chargeBytes(len(v.Topic)) // to where the level begins
		if s, ok := topic.Level(v.Topic, int(i)); ok && float64(i) == math.Trunc(float64(i)) {
			return c.name(s), nil
		}
		return lua.LNil, nil
	},
	newIndex: func(*call, *levels, lua.LValue, lua.LValue) error {
		return errors.New("level is read-only: assign the whole topic")
	},
	length: func(v *levels) int { return topic.Levels(v.Topic) },
	view: func(_ *call, v *levels) lua.LValue {
		t := newTable()
		for s := range strings.SplitSeq(v.Topic, "/") {
			t.Append(lua.LString(s))
		}
		return t
	},
})

// messageKeys are what a table may hold that describes a message.
var messageKeys = []string{
	"content_type", "correlation_data", "expiry", "payload", "payload_format",
	"qos", "response_topic", "retain", "topic", "user_properties",
}

// fillMessage sets m from what a rule wrote in a table.
func fillMessage(c *call, m *core.Message, from map[string]lua.LValue) error {
	if from["topic"] == nil {
		return errors.New("needs a topic")
	}
	for _, name := range messageKeys {
		if x := from[name]; x != nil {
			if err := messageFields[name].set(c, m, x); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		}
	}
	return nil
}

// toMessage makes a message of a table {topic=, payload=, …}.
func toMessage(c *call, x lua.LValue) (*core.Message, error) {
	t, ok := x.(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("must be a table {topic=…, payload=…}, a message or nil, not %s", describe(x))
	}
	from, err := stringKeys(t, messageKeys)
	if err != nil {
		return nil, err
	}
	m := new(core.Message)
	if err := fillMessage(c, m, from); err != nil {
		return nil, err
	}
	return m, nil
}
