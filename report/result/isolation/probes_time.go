package isolation

var timeProbes = []Probe{
	{
		Name: "time-set", Group: "time", Title: "Set the host's clock",
		About:  "Sets the clock to the time that it shows already. A timer of the host's, which is told of such things, is the canary.",
		Source: "clock_settime(2), timerfd_create(2): TFD_TIMER_CANCEL_ON_SET",
	},
	{
		Name: "time-step", Group: "time", Title: "Move the host's clock as a time service does",
		About:  "Moves the clock by nothing at all, with the system call of time services. A timer of the host's, which is told of such things, is the canary.",
		Source: "adjtimex(2): ADJ_SETOFFSET",
	},
	{
		Name: "time-tai", Group: "time", Title: "Change the host's leap seconds",
		About:  "Changes by how many seconds the kernel's clock without leap seconds (TAI) is ahead of the usual one, to a random number.",
		Source: "clock_adjtime(2): ADJ_TAI",
	},
	{
		Name: "time-zone", Group: "time", Title: "Change the time zone of the host's kernel",
		About:  "Changes the time zone which the kernel has for file systems that store local time, to a random one.",
		Source: "settimeofday(2)",
	},
	{
		Name: "time-alarm", Group: "time", Title: "Set an alarm in the host's hardware clock",
		About:  "Sets the alarm that can wake a sleeping computer to a random time some hours ahead.",
		Source: "rtc(4): RTC_WKALM_SET",
	},
	{
		Name: "time-slack", Group: "time", Title: "Make the timers of a process of the host late",
		About:  "Changes by how much the timers of a process of the host's may be late, which is the host's to see.",
		Source: "proc_pid_timerslack_ns(5)",
	},
}
