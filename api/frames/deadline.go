package frames

import "time"

// Extend moves on until when Take, AwaitHead and Reserve wait, also those that wait already.
func (f *Flow) Extend(by time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takeBy, f.sendBy = by, by
	f.watch(by)
}

// ExtendSending is Extend for Reserve and, once the head has come, for Take: before that, nothing is owed to who
// has more to send.
func (f *Flow) ExtendSending(by time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sendBy = by
	if f.begun {
		f.takeBy = by
	}
	f.watch(by)
}

// SetTakeDeadline is Extend for Take and AwaitHead alone. The zero time: as long as it takes.
func (f *Flow) SetTakeDeadline(by time.Time) { f.set(&f.takeBy, by) }

// SetSendDeadline is Extend for Reserve alone.
func (f *Flow) SetSendDeadline(by time.Time) { f.set(&f.sendBy, by) }

func (f *Flow) set(deadline *time.Time, by time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*deadline = by
	f.watch(by)
}

// watch has the timer go off no later than at a deadline. It is left running from stream to stream: to move it
// costs more than to have it go off in vain.
func (f *Flow) watch(by time.Time) {
	if by.IsZero() || !f.timerAt.IsZero() && !by.Before(f.timerAt) {
		return
	}
	f.timerAt = by
	if f.timer == nil {
		f.timer = time.AfterFunc(time.Until(by), f.tick)
		return
	}
	f.timer.Reset(time.Until(by))
}

// tick wakes up whoever waits, and goes on watching what is still ahead.
func (f *Flow) tick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timerAt = time.Time{}
	if f.stream == 0 {
		return
	}
	now := time.Now()
	for _, by := range [2]time.Time{f.takeBy, f.sendBy} {
		if by.After(now) {
			f.watch(by)
		}
	}
	wake(f.came)
	wake(f.went)
}

// AwaitHeadBy is SetTakeDeadline while the head has not come.
func (f *Flow) AwaitHeadBy(by time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		f.takeBy = by
		f.watch(by)
	}
}

func over(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

// wait gives the lock up until it is woken; false if the deadline has passed.
func (f *Flow) wait(woken chan struct{}, by *time.Time) bool {
	if over(*by) {
		return false
	}
	f.mu.Unlock()
	<-woken
	f.mu.Lock()
	return true
}
