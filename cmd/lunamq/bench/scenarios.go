package bench

import "time"

// Scenarios are all there are, in the order of the help.
var Scenarios = []*Scenario{
	{
		Name:  "pair",
		Short: "n publishers, each to a subscriber of its own, as fast as messages arrive",
		Long: `Publishers, each with a subscriber of its own, send as fast as messages arrive: at
most a window of each publisher is under way, so that no queue overflows.

Who hears whom is what topics and filters say: with --filter 'bench/#' each
subscriber gets the messages of all publishers. Every message of a publisher must be
matched by the filter, or none.`,
		Example: `  lunamq bench pair
  lunamq bench pair --burst 32 --pid $(pidof mosquitto)
  lunamq bench pair --qos 1 --protocol 5 --size 1024 --messages 100000
  lunamq bench pair --pairs 50 --topic 'site/%i/%r' --filter 'site/%i/+' --json`,
		Flags: []string{"pairs", "qos", "size", "burst", "window", "topic", "filter", "subscribe", "load"},
		run:   (*run).closed,
	},
	{
		Name:  "fanout",
		Short: "1 publisher to 100 subscribers, as fast as messages arrive",
		Long: `All subscribers get all messages, as fast as they arrive at the slowest. What is
counted is messages that arrive.`,
		Example: `  lunamq bench fanout
  lunamq bench fanout --subscribers 1000 --size 256 --url ws://127.0.0.1:9001/mqtt`,
		Flags: []string{"publishers", "subscribers", "qos", "size", "burst", "window", "topic", "filter", "subscribe", "load"},
		defaults: func(o *Options) {
			o.Publishers, o.Subscribers, o.Topic, o.Filter = 1, 100, "bench/all", "bench/all"
		},
		run: (*run).closed,
	},
	{
		Name:  "fanin",
		Short: "10 publishers to 1 subscriber, as fast as messages arrive",
		Long:  `All publishers send to all subscribers, of which there is one by default.`,
		Example: `  lunamq bench fanin
  lunamq bench fanin --publishers 100 --qos 1`,
		Flags:    []string{"publishers", "subscribers", "qos", "size", "burst", "window", "topic", "filter", "subscribe", "load"},
		defaults: func(o *Options) { o.Publishers, o.Subscribers, o.Filter = 10, 1, "bench/+" },
		run:      (*run).closed,
	},
	{
		Name:  "pingpong",
		Short: "1 message at a time from 1 publisher to 1 subscriber: latency without load",
		Long: `One message at a time: the next is sent when the last has arrived. This is latency
where nothing waits for anything.`,
		Example: `  lunamq bench pingpong
  lunamq bench pingpong --qos 2 --duration 3s`,
		Flags:    []string{"qos", "size", "topic", "filter", "subscribe", "load"},
		defaults: func(o *Options) { o.Pairs, o.Window = 1, 1 },
		run:      (*run).closed,
	},
	{
		Name:  "paced",
		Short: "a fixed rate over n pairs, latency from the time when a message was due",
		Long: `Messages are due at fixed times, one at a time, over all pairs in turn, whether the
broker keeps up or not. Latency counts from the time a message was due, not from when
it could be sent: a broker that stops for a second is slow for all messages of that
second (no coordinated omission).`,
		Example: `  lunamq bench paced
  lunamq bench paced --rate 20000 --pairs 1000 --duration 1m`,
		Flags:    []string{"pairs", "rate", "qos", "size", "topic", "filter", "subscribe", "load"},
		defaults: func(o *Options) { o.Pairs = 100 },
		run:      (*run).paced,
	},
	{
		Name:  "idle",
		Short: "n clients with one subscription each, that do nothing: memory per client",
		Long: `Clients connect, subscribe once and do nothing. When the broker's memory has
settled, what it has grown by is divided by the clients (with --pid). In the end each
must still answer. Many thousand clients on this machine come from several addresses
of 127.0.0.0/8, and the bound of open files is raised where that is allowed.`,
		Example: `  lunamq bench idle --pid $(pidof lunamq)
  lunamq bench idle --clients 60000 --pid $(pidof lunamq)
  lunamq bench idle --url tls://127.0.0.1:8883 --cafile ca.pem --pid $(pidof lunamq)`,
		Flags:    []string{"clients", "qos", "filter", "settle"},
		defaults: func(o *Options) { o.Clients, o.Filter = 9000, "bench/idle/%i" },
		run:      (*run).idle,
	},
	{
		Name:  "connect",
		Short: "n clients that connect and disconnect, again and again",
		Long: `Clients connect, wait for CONNACK and disconnect, again and again. Latency is from
the first byte to CONNACK. --messages is how many times, in all.`,
		Example: `  lunamq bench connect
  lunamq bench connect --clients 50 --url tls://127.0.0.1:8883 --insecure`,
		Flags:    []string{"clients", "load"},
		defaults: func(o *Options) { o.Clients = 10 },
		run:      (*run).connects,
	},
	{
		Name:  "retained",
		Short: "set n retained messages, then read them through a wildcard",
		Long: `Publishers set retained messages, each with a topic of its own; then subscribers,
one after another, read all of them through a wildcard. In the end they are taken
away again.`,
		Example: `  lunamq bench retained
  lunamq bench retained --count 500000 --subscribers 1 --topic 'a/%r/%n' --filter 'a/#'`,
		Flags: []string{"publishers", "subscribers", "count", "qos", "size", "burst", "window", "topic", "filter"},
		defaults: func(o *Options) {
			o.Publishers, o.Subscribers, o.Count, o.Topic, o.Filter = 10, 4, 50_000, "site/%n", "site/#"
		},
		run: (*run).retained,
	},
	{
		Name:  "filters",
		Short: "n filters are subscribed, and messages match one each",
		Long: `Subscribers with 1000 filters each, or as many subscribers as --subscribers says,
subscribe to all of them; then publishers send messages that match one each, in random
order, as fast as they arrive. %n is the filter's number, on both sides.`,
		Example: `  lunamq bench filters
  lunamq bench filters --count 1000000 --topic 'a/%n/b' --filter '+/%n/#'`,
		Flags: []string{"publishers", "subscribers", "count", "qos", "size", "burst", "window", "topic", "filter", "load"},
		defaults: func(o *Options) {
			o.Publishers, o.Count, o.Topic, o.Filter = 10, 200_000, "bench/%n/state", "bench/%n/state"
		},
		run: (*run).manyFilters,
	},
	{
		Name:  "reconnect-storm",
		Short: "n clients are cut off and come back, all at once",
		Long: `Clients connect and subscribe; then all connections are cut at once, and all come
back at once, trying again until they are. Latency is from the cut to SUBACK.`,
		Example: `  lunamq bench reconnect-storm
  lunamq bench reconnect-storm --clients 5000 --clean=false --protocol 5`,
		Flags:    []string{"clients", "qos", "filter"},
		defaults: func(o *Options) { o.Clients, o.Filter, o.Timeout = 1000, "bench/storm/%i", time.Minute },
		run:      (*run).storm,
	},
}
