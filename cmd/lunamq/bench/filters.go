package bench

// filtersEach is how many filters each subscriber of the scenario filters has,
// where it is not said how many there are: what LunaMQ allows one client by default.
const filtersEach = 1000

// manyFilters subscribes to many filters, then publishes messages that match one
// each, in random order.
func (r *run) manyFilters() error {
	topic, err := parseTopic(r.o.Topic)
	if err != nil {
		return err
	}
	filter, err := parseFilter(r.o.Filter)
	if err != nil {
		return err
	}
	if !matches(filter.text(0, 7), topic.text(0, 7)) || matches(filter.text(0, 7), topic.text(0, 8)) {
		return optionError("--topic %q, --filter %q: both must have %%n, so that a topic matches the filter of its number and no other", r.o.Topic, r.o.Filter)
	}
	r.filters, r.filtersEach = r.o.Count, filtersEach
	if n := r.o.Subscribers; n > 0 {
		r.filtersEach = max(1, (r.filters+n-1)/n)
	}
	r.result.Publishers, r.result.Subscribers = r.o.Publishers, (r.filters+r.filtersEach-1)/r.filtersEach
	if err := r.subscribePhase(filter); err != nil {
		return err
	}
	if err := r.addPublishers(r.o.Publishers, topic); err != nil {
		return err
	}
	r.introduceByNumber()
	w := r.o.window(1)
	for _, p := range r.publishers {
		w = min(w, p.c.window)
	}
	for _, p := range r.publishers {
		p.window = uint64(w)
	}
	r.result.Window = w
	r.start()
	return r.load("publish", (*publisher).closedLoop)
}

// subscribePhase connects the subscribers with their filters, and measures it.
func (r *run) subscribePhase(filter pattern) error {
	r.announce("subscribe", "filters", func() int64 { return min(r.connected()*int64(r.filtersEach), int64(r.filters)) })
	from, err := r.probe(0)
	if err != nil {
		return err
	}
	err = r.addSubscribers(r.result.Subscribers, func(i int) (all []string) {
		for n := i * r.filtersEach; n < min((i+1)*r.filtersEach, r.filters); n++ {
			all = append(all, filter.text(uint64(i), uint64(n)))
		}
		return all
	})
	if err != nil {
		return err
	}
	to, err := r.probe(int64(r.filters))
	if err == nil {
		r.phase("subscribe", "filters", from, to)
	}
	return err
}

// introduceByNumber gives each subscriber a stream of each publisher, which
// numbers what it sends to each. What arrives of a publisher is counted by one
// meter, for it is no matter where.
func (r *run) introduceByNumber() {
	for _, p := range r.publishers {
		p.lines = make([]uint64, len(r.subscribers))
		p.meters = []*meter{{wake: p.wake}}
	}
	for i, s := range r.subscribers {
		s.line, s.streams = i, make([]*stream, len(r.publishers))
		for j, p := range r.publishers {
			s.streams[j] = &stream{meter: p.meters[0]}
		}
	}
}
