package scripting

import (
	"fmt"
	"testing"

	"lunamq/core"
	"lunamq/core/packet"
)

// fireOne puts one event of a kind to the rules, and returns what a handler
// could have changed in it before and after.
func fireOne(t *testing.T, r *rig, event string) (before, after string) {
	t.Helper()
	before, after, _ = fire(t, r, event, testClient(packet.V5))
	return before, after
}

func fire(t *testing.T, r *rig, event string, c *core.Client) (before, after string, d core.Decision) {
	t.Helper()
	m := fullMessage()
	show := func() string { return fmt.Sprintf("%+v", *m) }
	var do func() core.Decision
	switch event {
	case "publish":
		do = func() core.Decision {
			return ask(r, &core.PublishEvent{Client: c, Message: m}, core.PublishHook.OnPublish)
		}
	case "will":
		do = func() core.Decision { return ask(r, &core.WillEvent{Client: c, Message: m}, core.WillHook.OnWill) }
	case "deliver":
		do = func() core.Decision {
			return ask(r, &core.DeliverEvent{Client: c, Message: m, Filter: "#"}, core.DeliverHook.OnDeliver)
		}
	case "dropped":
		do = func() core.Decision {
			told(r, &core.DroppedEvent{Client: c, Publisher: c, Message: m, Cause: core.CauseScript}, core.DroppedHook.OnDropped)
			return core.Decision{}
		}
	case "connect":
		ev := &core.ConnectEvent{ClientID: "a", Protocol: c.Protocol, KeepAlive: 60, Will: &core.Message{Topic: "w", Payload: []byte("x")},
			TLS: &core.TLSInfo{Version: "1.3"}, Vars: new(core.Vars)}
		show = func() string {
			shown := *ev
			shown.Will, shown.Turn = nil, core.Turn{}
			return fmt.Sprintf("%+v %+v", shown, *ev.Will)
		}
		do = func() core.Decision { return ask(r, ev, core.ConnectHook.OnConnect) }
	case "subscribe":
		ev := &core.SubscribeEvent{Client: c, Filter: "a/b", QoS: 1, Share: "g"}
		show = func() string { return fmt.Sprintf("%+v", *ev) }
		do = func() core.Decision { return ask(r, ev, core.SubscribeHook.OnSubscribe) }
	case "unsubscribe":
		ev := &core.UnsubscribeEvent{Client: c, Filter: "a/b"}
		show = func() string { return fmt.Sprintf("%+v", *ev) }
		do = func() core.Decision { return ask(r, ev, core.UnsubscribeHook.OnUnsubscribe) }
	case "connected":
		do = func() core.Decision {
			told(r, &core.ConnectedEvent{Client: c}, core.ConnectedHook.OnConnected)
			return core.Decision{}
		}
	case "disconnected":
		do = func() core.Decision {
			told(r, &core.DisconnectedEvent{Client: c}, core.DisconnectedHook.OnDisconnected)
			return core.Decision{}
		}
	case "subscribed":
		do = func() core.Decision {
			told(r, &core.SubscriptionEvent{Client: c, Filter: "a"}, core.SubscribedHook.OnSubscribed)
			return core.Decision{}
		}
	case "unsubscribed":
		do = func() core.Decision {
			told(r, &core.SubscriptionEvent{Client: c, Filter: "a"}, core.UnsubscribedHook.OnUnsubscribed)
			return core.Decision{}
		}
	case "authenticate":
		do = func() core.Decision {
			h, _ := hookOf[core.AuthHook](r.host)
			return h.OnAuth(&core.AuthEvent{Client: c, Method: "m", Step: 1}).Decision
		}
	case "acked":
		do = func() core.Decision {
			told(r, &core.AckedEvent{Client: c, Topic: "a"}, core.AckedHook.OnAcked)
			return core.Decision{}
		}
	case "session_ended":
		do = func() core.Decision {
			told(r, &core.SessionEndedEvent{Client: c, Reason: core.SessionExpired}, core.SessionEndedHook.OnSessionEnded)
			return core.Decision{}
		}
	default:
		t.Fatalf("no event %s", event)
	}
	before = show()
	d = do()
	return before, show(), d
}
