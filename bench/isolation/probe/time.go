package probe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attempts to change the host's clocks. They set a clock to what it shows already: the host
// notices nonetheless.
var clocks = []Probe{
	{
		Name:  "time-set",
		Plant: (*Host).watchClock,
		Attempt: func(string) Attempt {
			var now unix.Timespec
			unix.ClockGettime(unix.CLOCK_REALTIME, &now)
			if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
				return refused("clock_settime(2)", err)
			}
			return did("clock_settime(2)", "")
		},
		Reached: clockWasSet,
	},
	{
		Name:  "time-step",
		Plant: (*Host).watchClock,
		Attempt: func(string) Attempt {
			if _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_SETOFFSET}); err != nil { // by nothing
				return refused("adjtimex(2), ADJ_SETOFFSET", err)
			}
			return did("adjtimex(2), ADJ_SETOFFSET", "")
		},
		Reached: clockWasSet,
	},
	{
		Name: "time-tai",
		Plant: func(h *Host) (string, error) {
			old, err := taiOffset()
			if err != nil {
				return "", err
			}
			offset := old + 1 + rand.Int32N(100)
			h.Later(func() error {
				if now, _ := taiOffset(); now != offset {
					return nil
				}
				return setTAI(old)
			})
			return strconv.Itoa(int(offset)), nil
		},
		Attempt: func(canary string) Attempt {
			n, _ := strconv.Atoi(canary)
			if err := setTAI(int32(n)); err != nil {
				return refused("clock_adjtime(2), ADJ_TAI", err)
			}
			return did("clock_adjtime(2), ADJ_TAI", "")
		},
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			now, err := taiOffset()
			return err == nil && strconv.Itoa(int(now)) == canary, fmt.Sprintf("the host's clock TAI is %d s ahead of UTC", now)
		},
	},
	{
		Name: "time-zone",
		Plant: func(h *Host) (string, error) {
			old := kernelZone()
			west := old.MinutesWest + 1 + rand.Int32N(300)
			h.Later(func() error {
				if kernelZone().MinutesWest != west {
					return nil
				}
				return setZone(old)
			})
			return strconv.Itoa(int(west)), nil
		},
		Attempt: func(canary string) Attempt {
			n, _ := strconv.Atoi(canary)
			if err := setZone(zone{MinutesWest: int32(n)}); err != nil {
				return refused("settimeofday(2)", err)
			}
			return did("settimeofday(2)", "")
		},
		Reached: func(_ *Host, canary string, _ Attempt) (bool, string) {
			west := kernelZone().MinutesWest
			return strconv.Itoa(int(west)) == canary, fmt.Sprintf("the host's kernel is %d minutes west of Greenwich", west)
		},
	},
	{
		Name:    "time-alarm",
		Plant:   plantAlarm,
		Attempt: setAlarm,
		Reached: turned,
	},
	{
		Name: "time-slack",
		Plant: func(h *Host) (string, error) {
			pid, err := h.bystander()
			return fmt.Sprintf("/proc/%d/timerslack_ns %d", pid, 60_000+rand.IntN(40_000)), err
		},
		Attempt: turn,
		Reached: turned,
	},
}

// watchClock has the kernel tell when somebody sets the clock: a timer that stands on a time
// of day is then cancelled (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
func (h *Host) watchClock() (string, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("timerfd_create(2): %w", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	h.Later(f.Close)
	at := unix.NsecToTimespec(time.Now().Add(time.Hour).UnixNano())
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &unix.ItimerSpec{Value: at}, nil); err != nil {
		return "", fmt.Errorf("timerfd_settime(2): %w", err)
	}
	heard := h.note()
	go func() {
		if _, err := f.Read(make([]byte, 8)); errors.Is(err, unix.ECANCELED) {
			heard("set")
		}
	}()
	return "", nil
}

// clockWasSet judges that. That the attempt was let pass has to be known as well: the host may
// have set its clock itself.
func clockWasSet(h *Host, _ string, a Attempt) (bool, string) {
	if !a.Did {
		return false, ""
	}
	if h.noted() == "" {
		return false, "the host's clock was not set"
	}
	return true, "a timer of the host's was told that its clock was set"
}

// taiOffset is by how many seconds CLOCK_TAI is ahead.
func taiOffset() (int32, error) {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return t.Tai, err
}

func setTAI(offset int32) error {
	_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &unix.Timex{Modes: unix.ADJ_TAI, Constant: int64(offset)})
	return err
}

// zone is struct timezone. The kernel uses it for file systems that store local time.
type zone struct{ MinutesWest, DST int32 }

func kernelZone() (z zone) {
	var tv unix.Timeval
	unix.Syscall(unix.SYS_GETTIMEOFDAY, uintptr(unsafe.Pointer(&tv)), uintptr(unsafe.Pointer(&z)), 0)
	return z
}

// setZone sets the zone, and the time to what it is: without a time, the kernel would take
// the clock for local time when it is told the zone for the first time, and move it.
func setZone(z zone) error {
	var tv unix.Timeval
	unix.Gettimeofday(&tv)
	_, _, errno := unix.Syscall(unix.SYS_SETTIMEOFDAY, uintptr(unsafe.Pointer(&tv)), uintptr(unsafe.Pointer(&z)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// plantAlarm picks a time within a day for which no alarm is set yet in the hardware's clock.
func plantAlarm(h *Host) (string, error) {
	const dir = "/sys/class/rtc/rtc0/"
	now, err := os.ReadFile(dir + "since_epoch")
	if err != nil {
		return "", fmt.Errorf("the host has no clock of its hardware's: %w", err)
	}
	if b, err := os.ReadFile(dir + "wakealarm"); err != nil {
		return "", fmt.Errorf("the host's clock has no alarm: %w", err)
	} else if strings.TrimSpace(string(b)) != "" {
		return "", errors.New("an alarm is set in the host's clock already, and is left alone")
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(now)))
	if err != nil {
		return "", err
	}
	at := strconv.Itoa(n + 7200 + rand.IntN(7200))
	h.Later(func() error {
		if b, _ := os.ReadFile(dir + "wakealarm"); strings.TrimSpace(string(b)) != at {
			return nil
		}
		return writeKnob(dir+"wakealarm", "0")
	})
	return dir + "wakealarm " + at, nil
}

func setAlarm(canary string) Attempt {
	_, at, _ := strings.Cut(canary, " ")
	n, _ := strconv.Atoi(at)
	f, err := os.OpenFile("/dev/rtc0", os.O_RDONLY, 0)
	if err != nil {
		return refused("opening /dev/rtc0", err)
	}
	defer f.Close()
	t := time.Unix(int64(n), 0).UTC()
	alarm := unix.RTCWkAlrm{Enabled: 1, Time: unix.RTCTime{
		Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()),
		Mday: int32(t.Day()), Mon: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900,
	}}
	if err := unix.IoctlSetRTCWkAlrm(int(f.Fd()), &alarm); err != nil {
		return refused("ioctl(2), RTC_WKALM_SET", err)
	}
	return did("ioctl(2), RTC_WKALM_SET", "")
}
