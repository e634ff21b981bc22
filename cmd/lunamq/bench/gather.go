package bench

// gather connects the subscribers, then the publishers, and works out who hears
// whom from topics and filters.
func (r *run) gather() error {
	topic, err := parseTopic(r.o.Topic)
	if err != nil {
		return err
	}
	filter, err := parseFilter(r.o.Filter)
	if err != nil {
		return err
	}
	really := filter
	if r.o.Subscribe != "" {
		if really, err = parseFilter(r.o.Subscribe); err != nil {
			return err
		}
	}
	publishers, subscribers := r.o.Publishers, r.o.Subscribers
	if publishers == 0 || subscribers == 0 {
		publishers, subscribers = r.o.Pairs, r.o.Pairs
	}
	topics, filters := make([]string, publishers), make([]string, subscribers)
	for i := range topics {
		topics[i] = topic.text(uint64(i), 0)
	}
	for i := range filters {
		filters[i] = filter.text(uint64(i), 0)
	}
	r.result.Publishers, r.result.Subscribers = publishers, subscribers
	r.announce("connect", "clients", r.connected)
	err = r.addSubscribers(subscribers, func(i int) []string { return []string{really.text(uint64(i), 0)} })
	if err == nil {
		err = r.addPublishers(publishers, topic)
	}
	if err != nil {
		return err
	}
	r.introduce(topics, filters)
	if err := r.setWindows(); err != nil {
		return err
	}
	r.start()
	return nil
}

// connected is how many clients there are.
func (r *run) connected() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(len(r.clients))
}

func (r *run) addSubscribers(n int, filters func(i int) []string) error {
	r.subscribers = make([]*subscriber, n)
	return r.each(n, connecting, func(i int) error {
		c, err := r.connect(r.ctx, r.name("s", i), i)
		if err != nil {
			return err
		}
		r.keep(c)
		r.subscribers[i] = &subscriber{run: r, c: c, pongs: make(chan struct{}, 1)}
		return c.subscribeAll(filters(i), &r.o)
	})
}

func (r *run) addPublishers(n int, topic pattern) error {
	r.publishers = make([]*publisher, n)
	return r.each(n, connecting, func(i int) error {
		c, err := r.connect(r.ctx, r.name("p", i), len(r.subscribers)+i)
		if err != nil {
			return err
		}
		r.keep(c)
		r.publishers[i] = r.newPublisher(c, i, topic)
		return nil
	})
}

// introduce gives each subscriber a stream of each publisher that it hears.
func (r *run) introduce(topics, filters []string) {
	for i, s := range r.subscribers {
		first, last := -1, -1
		for j, topic := range topics {
			if matches(filters[i], topic) {
				if first < 0 {
					first = j
				}
				last = j
			}
		}
		if first < 0 {
			continue
		}
		s.first, s.streams = first, make([]*stream, last-first+1)
		for j := first; j <= last; j++ {
			if p := r.publishers[j]; matches(filters[i], topics[j]) {
				m := &meter{wake: p.wake}
				s.streams[j-first] = &stream{meter: m}
				p.meters = append(p.meters, m)
			}
		}
	}
}

var errNobodyHears = optionError("no subscriber's filter matches any publisher's topic")

// setWindows gives each publisher its window, by what its subscribers hear.
func (r *run) setWindows() error {
	heard, any := 1, false
	for _, s := range r.subscribers {
		n := 0
		for _, from := range s.streams {
			if from != nil {
				n++
			}
		}
		heard, any = max(heard, n), any || n > 0
	}
	if !any {
		return errNobodyHears
	}
	w := r.o.window(heard)
	for _, p := range r.publishers {
		if r.o.QoS > 0 {
			w = min(w, p.c.window)
		}
	}
	for _, p := range r.publishers {
		p.window = uint64(w)
	}
	r.result.Window = w
	return nil
}

// start begins to read from all clients.
func (r *run) start() {
	for _, s := range r.subscribers {
		r.serve(s.c, s)
	}
	for _, p := range r.publishers {
		r.serve(p.c, p)
	}
}

// due is how many messages a subscriber must have from the publisher.
func (p *publisher) due(s *subscriber) uint64 {
	if len(p.lines) == 1 {
		return p.lines[0]
	}
	return p.lines[s.line]
}
