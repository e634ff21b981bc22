package e2e

import (
	"fmt"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// pair is a publisher and a subscriber of QoS 1, both Paho, that behave well
// while others do not.
type pair struct {
	*ledger
	publisher, subscriber mqtt.Client

	credits chan struct{}
	stop    chan struct{}
	loops   sync.WaitGroup
	sent    int // owned by publishLoop while it runs
}

// pairAhead is how many messages of the pair are on their way at most.
const pairAhead = 4

// startPair starts a pair; end ends it and holds that all has come.
func startPair(p *program) *pair {
	p.t.Helper()
	h := &pair{ledger: newLedger(), credits: make(chan struct{}, pairAhead), stop: make(chan struct{})}
	for range pairAhead {
		h.credits <- struct{}{}
	}
	view := h.view("healthy", "pair")
	h.subscriber = h.connect(p, "healthy-sub")
	token := h.subscriber.Subscribe("healthy/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		view.take(m.Payload())
		select {
		case h.credits <- struct{}{}:
		default: // the barrier has taken none
		}
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		p.t.Fatal(token.Error())
	}
	h.publisher = h.connect(p, "healthy-pub")
	h.loops.Go(h.publishLoop)
	h.goesOn(p.t)
	return h
}

func (h *pair) connect(p *program, id string) mqtt.Client {
	p.t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.addr("local")).SetClientID(id).SetAutoReconnect(false).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { h.fail(fmt.Errorf("%s lost its connection: %w", id, err)) }))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		p.t.Fatal(token.Error())
	}
	return c
}

func (h *pair) publishLoop() {
	for {
		select {
		case <-h.stop:
			return
		case <-h.credits:
		}
		token := h.publisher.Publish("healthy/x", 1, false, fmt.Sprintf("pair %d", h.sent))
		h.sent++
		if !token.WaitTimeout(patience) || token.Error() != nil {
			h.fail(fmt.Errorf("message %d of the pair is not acknowledged: %v", h.sent-1, token.Error()))
			return
		}
	}
}

// goesOn returns when more messages of the pair have come.
func (h *pair) goesOn(t testing.TB) {
	t.Helper()
	h.awaitMore(t, 5)
}

// end holds that every message of the pair has come, in order.
func (h *pair) end(t testing.TB) {
	t.Helper()
	h.goesOn(t)
	close(h.stop)
	h.loops.Wait()
	if token := h.publisher.Publish("healthy/"+barrierTopic, 1, false, barrierTopic); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	h.awaitAll(t, map[string]int{"pair": h.sent})
	h.publisher.Disconnect(1000)
	h.subscriber.Disconnect(1000)
}
