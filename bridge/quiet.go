package bridge

import "time"

const (
	longWait  = time.Second
	manyBrief = 8 // waits in a row: then bytes come often
)

// waited takes note of a wait of d.
func (l *leg) waited(d time.Duration) {
	switch {
	case d >= longWait:
		l.brief = 0
	case l.brief < manyBrief:
		l.brief++
	}
}

// isQuiet tells whether the next bytes are likely to be long in coming.
func (l *leg) isQuiet() bool { return l.poll != nil && l.brief < manyBrief }

// await returns when Read has something to say. It takes little stack.
func (l *leg) await() {
	l.reading.Store(true)
	begin := time.Now()
	err := l.poll.await()
	l.reading.Store(false)
	l.waited(time.Since(begin))
	l.poll.askAgain()
	if err != nil { // which Read tells; until then nobody is to come back here
		l.brief = manyBrief
	}
}
