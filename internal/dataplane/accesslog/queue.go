package accesslog

import "sync"

// queue holds the records that wait to be written, each project's in a line of its own. All lines together have a limit. While
// it is reached, each project may have an equal part of it; what is above its part gives way to others.
type queue struct {
	limit int

	mu    sync.Mutex // guards what follows
	lines map[string]*line
	turns []*line // those with records, in the order in which they are read
	total int

	ready chan struct{} // holds one value when there may be something to read
}

// line is what one project's listeners have written and the sink has not.
type line struct {
	projectID string
	records   []Record
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, lines: map[string]*line{}, ready: make(chan struct{}, 1)}
}

// add says for which project a record was lost, if one had to be: "" and false when all is well. It never blocks.
func (q *queue) add(projectID string, r Record) (loser string, lost bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[projectID]
	if l == nil {
		l = &line{projectID: projectID}
	}
	if q.total >= q.limit {
		if share := q.limit / max(1, len(q.turns)); len(l.records) > 0 && len(l.records) >= share {
			return projectID, true
		}
		loser, lost = q.dropFromLongest(), true
	}
	if len(l.records) == 0 {
		q.lines[projectID] = l
		q.turns = append(q.turns, l)
	}
	l.records = append(l.records, r)
	q.total++
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return loser, lost
}

// dropFromLongest drops the newest record of the longest line. It has more than one: the limit is larger than the number of
// projects. The caller holds the mutex.
func (q *queue) dropFromLongest() (projectID string) {
	longest := q.turns[0]
	for _, l := range q.turns {
		if len(l.records) > len(longest.records) {
			longest = l
		}
	}
	longest.records = longest.records[:len(longest.records)-1]
	q.total--
	if len(longest.records) == 0 {
		q.remove(longest)
	}
	return longest.projectID
}

// next takes up to most records of the project whose turn it is. The one after it is next.
func (q *queue) next(most int) (projectID string, records []Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns) == 0 {
		return "", nil
	}
	l := q.turns[0]
	n := min(most, len(l.records))
	records = l.records[:n:n]
	l.records = l.records[n:]
	q.total -= n
	q.turns = append(q.turns[1:], l)
	if len(l.records) == 0 {
		q.remove(l)
	}
	return l.projectID, records
}

// remove forgets an empty line. The caller holds the mutex.
func (q *queue) remove(empty *line) {
	delete(q.lines, empty.projectID)
	for i, l := range q.turns {
		if l == empty {
			q.turns = append(q.turns[:i], q.turns[i+1:]...)
			return
		}
	}
}
